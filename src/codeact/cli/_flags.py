"""The flags of `codeact "task"`, and its help, which teaches by example."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from codeact.cli import load, verbs
from codeact.cli._files import OUTPUT_FOLDER

__all__ = ["add_backend", "add_memory", "add_network", "add_packages", "network_of", "packages_of", "parser",
           "positive", "sentence"]

MOST = 1_000_000_000
"""As `interpreter.limits.MOST`, which is not imported before it is needed."""

_EXAMPLES = """\
examples:
  codeact                                                     replay a recorded conversation: no model is needed
  codeact --model openai:gpt-5-mini "What is in sales.csv?" --workspace .
  codeact --model openai:qwen3:8b --base-url http://localhost:11434/v1 "Plot sin(x)/x"
  echo "a long task" | codeact --model openai:gpt-5-mini -

verbs:
"""


class _Parser(argparse.ArgumentParser):
    """Lists the verbs in its help, which costs an import each and so is not done before."""

    def format_help(self) -> str:
        lines = [f"  codeact {verb:<10} {load(verb).HELP}" for verb in verbs()]
        return "\n".join((super().format_help() + "\n" + _EXAMPLES.rstrip(), *lines, ""))


def parser() -> argparse.ArgumentParser:
    """A parser of the flags; what it gives is used by `task.py`."""
    made = _Parser(
        prog="codeact",
        description="Do a task by writing Python and running it, step by step, in an interpreter with walls around it.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = made.add_argument
    add("task", nargs="*", help="what to do, in your words; - reads it from standard input")
    add("--model", metavar="PROVIDER:NAME", help="as openai:gpt-5-mini, scripted:FILE or the name of a profile "
        "(else CODEACT_MODEL, else `codeact config`)")
    add("--base-url", metavar="URL", help="where an OpenAI-compatible server is (else OPENAI_BASE_URL)")
    add(
        "--workspace",
        metavar="DIR",
        type=Path,
        help="work on this folder, which stays as it is until `codeact apply`; "
        f"else on a fresh one, and what is made is copied to {OUTPUT_FOLDER}",
    )
    add("--live", action="store_true", help="let the code change the files of --workspace themselves, at once")
    add("--read", metavar="DIR", type=Path, action="append", default=[], help="also let it read here; may be repeated")
    add_network(made)
    add_packages(made)
    add("--sandbox", metavar="WALLS",
        help="auto (default: the strongest that works), or a level as `codeact doctor` lists them; none means none")
    add("--python", metavar="PATH", help="run the code with this Python instead; nothing needs to be installed there")
    add_backend(made)
    add("--max-turns", metavar="N", type=positive(int), help="give up after N turns (default: 30)")
    add("--timeout", metavar="SECONDS", type=positive(float), help="for one piece of code (default: 60)")
    add_memory(made)
    add("--save", metavar="FILE.jsonl", type=Path, help="add the trajectory to this file, as it grows")
    add("--json", action="store_true", help="print events as lines of JSON instead")
    add("--version", action="store_true", help="print the version")
    return made


def add_backend(parser: argparse.ArgumentParser) -> None:
    """The flag `--backend`."""
    parser.add_argument("--backend", metavar="SPEC", default="local",
                        help="what runs the code: local (default), docker:IMAGE, podman:IMAGE, jupyter:NAME, inprocess")


def add_memory(parser: argparse.ArgumentParser) -> None:
    """The flag `--memory-mb`."""
    parser.add_argument("--memory-mb", type=positive(int), metavar="MB",
                        help="memory of all its processes together (default: 2048)")


def add_network(parser: argparse.ArgumentParser) -> None:
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


def add_packages(parser: argparse.ArgumentParser) -> None:
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
