"""The flags of `codeact "task"` and `codeact chat`, and the help of a task, which teaches by example."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from codeact.cli import load, verbs
from codeact.cli._files import OUTPUT_FOLDER
from codeact.cli._parser import Parser

__all__ = ["add_agent", "add_backend", "add_memory", "add_network", "add_number", "add_packages", "network_of",
           "packages_of", "parser", "port", "positive", "sentence"]

MOST = 1_000_000_000
"""As `interpreter.limits.MOST`, which is not imported before it is needed."""

_EXAMPLES = """\
examples:
  codeact                                                     replay a recorded conversation: no model is needed
  codeact --model openai:gpt-5-mini "What is in sales.csv?" --workspace .
  codeact --model openai:qwen3:8b --base-url http://localhost:11434/v1 "Plot sin(x)/x"
  echo "a long task" | codeact --model openai:gpt-5-mini -
  codeact --image plot.png "What is odd about this plot?"     CODEACT_MODEL names the model
  codeact --tool web_fetch --max-cost 0.50 "What is new on https://www.python.org?"
  codeact chat                                                a conversation, with the variables kept

environment: CODEACT_MODEL and other settings (`codeact config`); NO_COLOR=1 leaves colours out; CODEACT_IMAGES=kitty,
iterm2 or none says how the terminal shows figures.

verbs:
"""


class _Parser(Parser):
    """Lists the verbs in its help, which costs an import each and so is not done before."""

    def format_help(self) -> str:
        lines = [f"  codeact {verb:<10} {load(verb).HELP}" for verb in verbs()]
        return "\n".join((super().format_help() + "\n" + _EXAMPLES.rstrip(), *lines, ""))


def parser() -> argparse.ArgumentParser:
    """A parser of the flags of a task; what it gives is used by `task.py`."""
    made = _Parser(
        prog="codeact",
        description="Do a task by writing Python and running it, step by step, in an interpreter with walls around it.",
    )
    add = made.add_argument
    add("task", nargs="*", help="what to do, in your words; - reads it from standard input")
    add_agent(made)
    add("--image", metavar="FILE", type=Path, action="append", default=[],
        help="a picture that goes with the task, for models that see; may be repeated")
    add("--resume", metavar="FILE", type=Path, help="go on with the conversation in this file, and its variables")
    add_number(made)
    add("--save", metavar="FILE.jsonl", type=Path, help="add the trajectory to this file, as it grows")
    add("--json", action="store_true", help="print events as lines of JSON instead")
    add("--version", action="store_true", help="print the version")
    return made


def add_agent(parser: argparse.ArgumentParser) -> None:
    """The flags that say which model does what, where, and for how long; `_agent.py` reads them."""
    group = parser.add_argument_group("the model")
    add = group.add_argument
    add("--model", metavar="PROVIDER:NAME", help="as openai:gpt-5-mini, scripted:FILE or the name of a profile "
        "(else CODEACT_MODEL, else `codeact config`)")
    add("--base-url", metavar="URL", help="where an OpenAI-compatible server is (else OPENAI_BASE_URL)")
    add("--format", metavar="NAME", help="how it writes its actions: code (default), json, text, native")
    add("--instructions", metavar="FILE", type=Path, help="what else it should know and heed, as text")
    add("--tool", metavar="SPEC", action="append", default=[],
        help="give it a tool: web_fetch, files:DIR, 'mcp:COMMAND', a file of yours with functions (./mytools.py, "
        "./mytools.py:FUNCTION) or a module (package.module); may be repeated")
    add("--yes", action="store_true", help="allow, unasked, the calls of tools that ask first")
    group = parser.add_argument_group("how much it may spend on a task")
    add = group.add_argument
    add("--max-turns", metavar="N", type=positive(int), help="turns (default: 30)")
    add("--max-seconds", metavar="SECONDS", type=positive(float), help="time for all turns together")
    add("--max-tokens", metavar="N", type=positive(int), help="tokens read and written, as far as the server tells")
    add("--max-cost", metavar="DOLLARS", type=positive(float), help="US dollars, as far as the server tells")
    add("--timeout", metavar="SECONDS", type=positive(float), help="for one piece of code (default: 60)")
    group = parser.add_argument_group("where the code runs")
    add = group.add_argument
    add(
        "--workspace",
        metavar="DIR",
        type=Path,
        help="work on this folder, which stays as it is until `codeact apply`; "
        f"else on a fresh one, and what is made is copied to {OUTPUT_FOLDER}",
    )
    add("--live", action="store_true", help="let the code change the files of --workspace themselves, at once")
    add("--read", metavar="DIR", type=Path, action="append", default=[], help="also let it read here; may be repeated")
    add_network(group)
    add_packages(group)
    add("--sandbox", metavar="WALLS",
        help="auto (default: the strongest that works), or a level as `codeact doctor` lists them; none means none")
    add("--python", metavar="PATH", help="run the code with this Python instead; nothing needs to be installed there")
    add_backend(group)
    add_memory(group)


def add_backend(parser: argparse._ActionsContainer) -> None:
    """The flag `--backend`."""
    parser.add_argument("--backend", metavar="SPEC", default="local",
                        help="what runs the code: local (default), docker:IMAGE, podman:IMAGE, jupyter:NAME, inprocess")


def add_number(parser: argparse._ActionsContainer) -> None:
    """The flag `--number`, beside `--resume`."""
    parser.add_argument("--number", metavar="N", type=positive(int),
                        help="with --resume FILE: which conversation of the file, from 1 (default: the last)")


def add_memory(parser: argparse._ActionsContainer) -> None:
    """The flag `--memory-mb`."""
    parser.add_argument("--memory-mb", type=positive(int), metavar="MB",
                        help="memory of all its processes together (default: 2048)")


def add_network(parser: argparse._ActionsContainer) -> None:
    """The flag `--network`; `network_of` reads it."""
    parser.add_argument("--network", metavar="HOST", action="append", default=[],
                        help="what the code may reach: none (default), all, or a host, as api.example.com, "
                        "'*.example.org' or example.org:8443; may be repeated")


def network_of(values: list[str]) -> str | list[str]:
    """The value for `Interpreter(network=...)`; raises ValueError where the flags contradict one another."""
    words = [value for value in values if value in ("none", "all")]
    if not words:
        return values or "none"
    if len(values) > 1:
        raise ValueError(f"--network {words[0]} cannot be given together with another --network")
    return words[0]


def add_packages(parser: argparse._ActionsContainer) -> None:
    """The flags about packages; `packages_of` reads two of them."""
    parser.add_argument("--package", metavar="NAME", action="append", default=[],
                        help="install this for the code, as einops or 'einops>=0.7'; may be repeated")
    parser.add_argument("--allow-packages", action="store_true",
                        help="let the code install more, with `%%pip install NAME`")
    parser.add_argument("--index-url", metavar="URL", help="where packages come from (default: as pip is configured)")


def packages_of(named: list[str], allow: bool) -> str | list[str]:
    """The value for `Interpreter(packages=...)`."""
    if allow:
        return [*named, "*"] if named else "allow"
    return named or "none"


def sentence(words: str) -> str:
    """The one line of a verb as a sentence."""
    return f"{words[0].upper()}{words[1:]}."


def port(text: str) -> int:
    """For a flag that takes a port to listen on."""
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: one is a number from 0 to 65535")
    return int(text)


def positive(kind: type) -> Callable[[str], Any]:
    """For a flag that takes a number above zero of this kind."""

    def read(text: str) -> Any:
        try:
            number = kind(text)
        except ValueError:
            number = 0
        if not 0 < number <= MOST:
            shown = text if len(text) <= 40 else text[:40] + "..."
            whole = "whole " if kind is int else ""
            raise argparse.ArgumentTypeError(f"{shown!r} is not a positive {whole}number of at most {MOST:,}")
        return number

    return read
