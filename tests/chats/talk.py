"""What tests of conversations share: a model that does as it is told, and how it is talked to."""

import threading

from codeact.chats.values import Options
from codeact.errors import Cancelled
from codeact.events import Text
from codeact.messages import Completion, Usage

OPTIONS = Options(model="test")


class Calculator:
    """Runs what stands between backticks, then answers with what it saw; words without code are answered at once."""

    def __init__(self):
        self.sent = []

    def complete(self, messages, *, observe, cancel, **options):
        self.sent.append(messages)
        last = messages[-1].content
        asked = last.rpartition("\n\n")[2]   # what came of messages before it stands above it
        code = asked.split("`")[1] if "`" in asked and "ran this" not in last else ""
        if "wait" in asked:
            stopped = threading.Event()
            with cancel.calling(stopped.set):
                stopped.wait(30)
            raise Cancelled
        text = f"I run it.\n<execute>\n{code}\n</execute>" if code else f"<solution>{last.strip().splitlines()[0]}</solution>"
        for piece in (text[:5], text[5:]):
            observe(Text(piece))
        return Completion(text, usage=Usage(10, 5, 0.01))


def say(chats, key, text, **more):
    seq = chats.send(key, "me", text, **more)
    assert chats.wait(key, "me", 60)
    return seq


def kinds(chats, key):
    return [entry.kind for entry in chats.entries(key, "me")]


GUARDED = '''
from codeact import tool
@tool(needs_approval=True)
def erase(name: str) -> str:
    """Erase something."""
    return f"erased {name}"
'''
