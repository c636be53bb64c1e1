"""Scripted models that take their time or cost money, and one that says what it was told."""

from codeact.events import Text
from codeact.messages import Completion, Usage
from codeact.models import scripted


def create(argument: str, **options):
    """`slow=FILE`: a word each twentieth of a second; `costly=FILE`: a dollar each time; `echo`: what was said back."""
    kind, _, path = argument.partition("=")
    if kind == "echo":
        return Echo()
    model = scripted.create(path)
    if kind == "slow":
        model.seconds_per_word = 0.05
    else:
        replies = [reply if isinstance(reply, str) else reply.text for reply in model.replies]
        model = scripted.ScriptedModel([Completion(reply, usage=Usage(900, 100, 1.0)) for reply in replies])
    return model


class Echo:
    """Says what the user said last, and how the prompt ends."""

    def complete(self, messages, *, stop, tools=(), observe, cancel):
        said = f"You said: {messages[-1].content} ({len(messages[-1].images)} pictures)"
        if "prompt" in messages[-1].content:
            said += " " + messages[0].content.splitlines()[-1]
        observe(Text(said))
        return Completion(said)
