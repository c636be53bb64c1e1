"""Tools in a kernel that is not ours: the questions they ask, by way of a host that is a function."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from typing import Any

import pytest

from codeact.kernel import bridge, values

SPEC = {"name": "double", "doc": "Twice.", "async": True, "returns": "int",
        "params": [{"name": "x", "kind": "POSITIONAL_OR_KEYWORD", "annotation": "int"}]}  # fmt: skip


class Host:
    """Answers a call of `double` when it has been asked `patience` times more."""

    def __init__(self, patience: int = 0) -> None:
        self.patience, self.open, self.asked = patience, {}, 0
        self.busy = threading.Lock()

    def ask(self, prompt: str) -> str:
        assert self.busy.acquire(blocking=False), "two questions at once"
        try:
            assert prompt.startswith("codeact-tool:n:")
            question = json.loads(prompt.removeprefix("codeact-tool:n:"))
            self.asked += 1
            for number, header, buffers in question["calls"]:
                (value,), _ = values.unpack(header["arguments"], [base64.b64decode(text) for text in buffers])
                self.open[number] = [self.patience, value]
            answers = []
            for number in list(self.open):
                self.open[number][0] -= 1
                if self.open[number][0] < 0:
                    tree, buffers = values.pack(self.open.pop(number)[1] * 2)
                    answers.append([number, {"ok": True, "value": tree}, [base64.b64encode(part).decode() for part in buffers]])
            told = [number for number, _, _ in answers]
            return json.dumps({"answers": answers, "over": [n for n in question["waiting"] if n not in self.open and n not in told]})
        finally:
            self.busy.release()


def stub(host: Host) -> Any:
    namespace: dict[str, Any] = {}
    bridge.install(namespace, {"tools": [SPEC]}, host.ask, "n")
    return namespace["double"]


def test_a_call_asks_until_the_answer_comes():
    host = Host(patience=3)
    assert stub(host)(4) == 8
    assert host.asked == 4


def test_binary_values_cross():
    assert stub(Host())(b"\0\xff" * 20_000) == b"\0\xff" * 40_000


def test_threads_take_turns_at_asking():
    double, found = stub(Host(patience=5)), []
    threads = [threading.Thread(target=lambda i=i: found.append(double(i))) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(found) == [0, 2, 4, 6, 8, 10]


def test_a_call_the_host_knows_nothing_of_is_an_error():
    host = Host(patience=100)
    plain, host.ask = host.ask, lambda prompt: (plain(prompt), host.open.clear(), plain('codeact-tool:n:{"calls": [], "waiting": [1], "seconds": 0}'))[-1]
    with pytest.raises(RuntimeError, match="the cell ended"):
        stub(host)(1)


def test_an_async_tool_is_awaited_in_a_coroutine_and_waited_for_elsewhere():
    double = stub(Host(patience=1))

    async def coroutine() -> list[int]:
        return await asyncio.gather(*(double(n) for n in range(3)))

    assert asyncio.run(coroutine()) == [0, 2, 4]
    assert double(5) == 10
