"""A small suite for tests: sums to be done with a tool, and models that do them well or badly."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from codeact.messages import Completion, Message
from codeact.tasks import Settings, Task


class Sums:
    """So many sums, two families; right by number, or by its text alone."""

    name, version, checkers = "sums", "1", ("lenient", "exact")

    def __init__(self, n: int = 4, **settings: Any) -> None:
        self.n = n
        self.settings = Settings(**{"max_turns": 4, **settings})

    def tasks(self) -> Sequence[Task]:
        return [Task(f"{('even', 'odd')[i % 2]}/{i}", ("even", "odd")[i % 2], f"Add {i} and 10.", i + 10)
                for i in range(self.n)]

    def tools(self, task: Task) -> Sequence[Callable[..., Any]]:
        calls: list[int] = []

        def add(a: int, b: int) -> int:
            """The sum of two numbers."""
            calls.append(a)
            if len(calls) > 3:
                raise RuntimeError("used up")
            return a + b

        return [add]

    def prompt(self, task: Task, instructions: str) -> Sequence[Message]:
        return [Message("system", instructions), Message("user", task.instruction)]

    def check(self, task: Task, answer: str) -> Mapping[str, bool]:
        return {"lenient": answer.strip().strip("'\"") == str(task.expected), "exact": answer == str(task.expected)}


ACTIONS = {
    "code": "<execute>\nprint(add({a}, {b}))\n</execute>",
    "json": '<execute>\n{{"tool": "add", "args": {{"a": {a}, "b": {b}}}}}\n</execute>',
    "text": "<execute>\nadd, {a}, {b}\n</execute>",
}


class Adder:
    """Does what it is asked in two turns: a call, and what the call gave as the answer; `how` it may go wrong."""

    def __init__(self, how: str = "right", format: str = "code") -> None:
        self.how = how
        self.format = format

    def complete(self, messages: Sequence[Message], *, stop: Sequence[str], tools: Any = (), observe: Any, cancel: Any
                 ) -> Completion:
        from codeact.messages import Usage

        a, b = map(int, re.findall(r"\d+", next(m.content for m in messages if m.role == "user"))[:2])
        n = sum(message.role == "assistant" for message in messages)
        if self.how == "babbles":
            text = "Let me think about what adding means to people."
        elif self.how == "loops" or n == 0:
            text = ACTIONS[self.format].format(a=a, b=b)
        else:
            seen = re.search(r"\d+$", messages[-1].content.strip())
            text = f"<solution>{seen[0] if seen and self.how == 'right' else -1}</solution>"
        return Completion(text, usage=Usage(100, 10, 0.001))
