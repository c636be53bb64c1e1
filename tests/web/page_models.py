"""A model for the tests of the page: what it answers is looked up by the user's words; it can be held while it writes."""

import threading

from codeact.errors import Cancelled
from codeact.events import Text
from codeact.messages import Completion, Usage


class Scripted:
    """`script` gives the replies to a message, one a turn; `{hold}` in a reply waits until `go` is set."""

    def __init__(self):
        self.script, self.go, self.sent, self.asked = {}, threading.Event(), [], []

    def complete(self, messages, *, observe, cancel, **options):
        self.sent.append(messages)
        self.asked.append(options)
        said = [(n, line) for n, one in enumerate(messages) if one.role == "user"
                for line in str(one.content).split("\n") if line.strip() in self.script]
        replies = self.script[said[-1][1].strip()] if said else ["<solution>Done.</solution>"]
        done = sum(one.role == "assistant" for one in messages[said[-1][0]:]) if said else 0
        text = replies[min(done, len(replies) - 1)]
        for n, part in enumerate(text.split("{hold}")):
            if n:
                self._hold(cancel)
            for piece in _pieces(part):
                observe(Text(piece))
        return Completion(text.replace("{hold}", ""), usage=Usage(1200, 85, 0.002))

    def _hold(self, cancel):
        stopped = threading.Event()

        def stop():
            stopped.set()
            self.go.set()

        with cancel.calling(stop):
            self.go.wait(30)
        self.go.clear()
        if stopped.is_set():
            raise Cancelled


def _pieces(text, size=24):
    return [text[start : start + size] for start in range(0, len(text), size)]
