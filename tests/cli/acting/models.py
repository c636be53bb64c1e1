"""A scripted model that takes its time, and one that says what it was told."""

from codeact.events import Text
from codeact.messages import Completion
from codeact.models import scripted


def create(argument: str, **options):
    """`slow=FILE`: a word each twentieth of a second; `echo`: the last message back."""
    kind, _, path = argument.partition("=")
    if kind == "echo":
        return Echo()
    model = scripted.create(path)
    model.seconds_per_word = 0.05
    return model


class Echo:
    """Says what the user said last."""

    def complete(self, messages, *, stop, tools=(), observe, cancel):
        said = f"You said: {messages[-1].content} ({len(messages[-1].images)} pictures)"
        observe(Text(said))
        return Completion(said)
