"""M3ToolEval: 82 tasks over five families of tools, most of which take several calls put together.

The tools' code and every sentence of the prompt are ours; tasks, expected answers and descriptions of tools come from
the user's copy of the data (`material.py`). `codeact data get m3tooleval` gets one.

    checker     an answer is right if ...
    paper       the original would have taken it, faults included (`paper_check.py`)
    strict      it has the expected value (`strict_check.py`)

Source: paper section 2.3 (ten turns, greedy, 512 tokens a reply, zero-shot).
Differs: the prompt and what a model is told after a wrong or unreadable reply are worded anew; the prompt says how
answers are spelled, which the checker of the original takes for granted.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from codeact.data import places
from codeact.errors import ConfigError
from codeact.messages import Message
from codeact.prompts import render
from codeact.suites.m3tooleval import decoding, paper_check, sequencing, strict_check, trading
from codeact.suites.m3tooleval.browsing import Browser
from codeact.suites.m3tooleval.describing import described
from codeact.suites.m3tooleval.material import Material, read
from codeact.suites.m3tooleval.travelling import TravelAgency
from codeact.tasks import Settings, Task

__all__ = ["M3ToolEval", "add_flags", "create"]

_OURS = "1"
"""Our half of the version; the data's is its digest."""


class M3ToolEval:
    """The suite; see `tasks.Suite`.

    Args:
        data: The folder that holds the folder `m3tooleval`; if None, as `places.find` says.
    """

    name = "m3tooleval"
    settings = Settings(max_turns=10, max_reply_tokens=512, temperature=0.0, envelope="m3tooleval", style="m3tooleval")
    checkers = ("paper", "strict")

    def __init__(self, data: str | None = None) -> None:
        self._data = data

    @classmethod
    def of(cls, material: Material) -> "M3ToolEval":
        """The suite on data that was read already."""
        suite = cls()
        suite.__dict__["_material"] = material  # where `cached_property` keeps it
        return suite

    @property
    def version(self) -> str:
        """Ours and the data's; raises ConfigError as `tasks` does."""
        return f"{_OURS}-{self._material.digest[:12]}"

    def tasks(self) -> Sequence[Task]:
        """All tasks in the order of the data; raises ConfigError if it is not at hand."""
        return self._material.tasks

    def tools(self, task: Task) -> Sequence[Callable[..., Any]]:
        """The family's tools, described as the data has it; a web browser is a new one."""
        material = self._material
        match task.family:
            case "message_decoder":
                functions: Sequence[Callable[..., Any]] = decoding.TOOLS
            case "cryptobotanists_plant_dna_sequencer":
                functions = sequencing.TOOLS
            case "trade_calculator":
                functions = trading.TOOLS
            case "travel_itinerary_planning":
                functions = TravelAgency(**material.travel).tools()
            case "web_browsing":
                functions = Browser(material.pages).tools()
            case unknown:
                raise ConfigError(f"the data has a task of the family {unknown!r}, for which there are no tools; "
                                  f"get it anew with: codeact data get m3tooleval")
        return described(functions, material.told.get(task.family, ()))

    def prompt(self, task: Task, instructions: str) -> Sequence[Message]:
        """How to act and to answer, then the task."""
        told = render("m3tooleval", instructions=instructions, max_turns=self.settings.max_turns)
        return [Message("system", told), Message("user", task.instruction)]

    def check(self, task: Task, answer: str) -> Mapping[str, bool]:
        """Both verdicts."""
        return {"paper": paper_check.agrees(task.expected, answer),
                "strict": strict_check.agrees(task.expected, answer, decimals=task.about.get("decimals"))}

    @cached_property
    def _material(self) -> Material:
        return read(places.find("m3tooleval", self._data))


def add_flags(parser: argparse.ArgumentParser) -> None:
    """What the suite may be told on the command line."""
    parser.add_argument("--data", metavar="DIR", help="a folder that holds m3tooleval/; by default CODEACT_DATA, "
                                                      "then what `codeact data get` has fetched")


def create(*, data: str | None = None) -> M3ToolEval:
    """The suite; `data` is the folder that holds the folder `m3tooleval`."""
    return M3ToolEval(data)
