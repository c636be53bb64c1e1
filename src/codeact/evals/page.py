"""The report as one page for a browser: tables, figures, and every trajectory to filter, search and read.

    page.save(summary, folders, Path("report.html"))

The page needs nothing from elsewhere and may load nothing: its policy allows its own script and style, by their hash,
and pictures that are in it. What models and cells wrote is hostile: it travels compressed and in base64, so it is never
read as markup, and the script sets it as text alone (`page_files/page.js`). Pictures of four raster kinds are shown, as
`data:` URLs; no SVG or HTML of a cell is.

It stays one that opens: long texts are cut, with a note; trajectories are unpacked when they are looked at; beyond a
number and a size they are listed only.
"""

import base64
import gzip
import hashlib
import html
import json
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any, TextIO

from codeact.actions import Action, Answer, CodeAction, Malformed, Say, ToolCall
from codeact.errors import ConfigError
from codeact.evals.folder import Record, RunFolder
from codeact.evals.notes import findings, warnings
from codeact.evals.plots import FIGURES, draw
from codeact.evals.summary import Summary
from codeact.evals.tables import Table, tables, title
from codeact.trajectory import Trajectory, Turn

__all__ = ["save"]

_MAX_TEXT = 20_000
_MAX_IMAGE = 1_500_000
_CHUNK = 2_000_000
_MAX_PAGE = 200_000_000


def save(summary: Summary, folders: Sequence[RunFolder], path: Path, *, max_trajectories: int = 10_000) -> None:
    """Write the page, replacing what is there.

    Args:
        folders: Where the summary is from.
        max_trajectories: How many can be opened in it; the others are listed.

    Raises:
        ConfigError: A run cannot be read.
        OSError: The page cannot be written.
    """
    css, script = _file("page.css"), _file("page.js")
    policy = (f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(css)}'; img-src data:; "
              "base-uri 'none'; form-action 'none'")
    n = len(summary.results.rows)
    left_out = "" if n <= max_trajectories else (
        f'<p class="warning">{n - max_trajectories} of {n} trajectories are listed but cannot be opened here; '
        "--max-trajectories takes in more.</p>")
    head = Template(_file("page.html")).substitute(
        policy=html.escape(policy), title=html.escape(title(summary)), css=css, summary="\n".join(_summary(summary)),
        left_out=left_out)
    beside = path.with_name(f".{path.name}.new")
    try:
        with open(beside, "w", encoding="utf-8") as file:
            file.write(head)
            entries = _write_chunks(file, summary.checker, folders, max_trajectories)
            file.write(_packed("index", json.dumps({"entries": entries})))
            file.write(f"<script>{script}</script>\n</body>\n</html>\n")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _summary(summary: Summary) -> Iterator[str]:
    for text in warnings(summary):
        yield f'<p class="warning">{html.escape(text)}</p>'
    if said := findings(summary):
        yield "<ul>" + "".join(f"<li>{html.escape(text)}</li>" for text in said) + "</ul>"
    found = tables(summary)
    yield from map(_table, found[:1])
    if summary.lines:
        yield _figures(summary)
    yield from map(_table, found[1:])


def _table(table: Table) -> str:
    numbers = [all(row[place].is_number for row in table.rows) for place in range(len(table.head))]
    head = "".join(f'<th scope="col"{_class(number, False)}>{html.escape(name)}</th>'
                   for name, number in zip(table.head, numbers, strict=True))
    rows = "\n".join("<tr>" + "".join(f"<td{_class(cell.is_number, cell.is_best)}>{html.escape(cell.text)}</td>"
                                      for cell in row) + "</tr>" for row in table.rows)
    note = f'\n<p class="note">{html.escape(table.note)}</p>' if table.note else ""
    return (f'<h2>{html.escape(table.title)}</h2>\n<div class="wide" tabindex="0" role="region" '
            f'aria-label="{html.escape(table.title)}"><table><thead><tr>{head}</tr></thead>\n'
            f"<tbody>{rows}</tbody></table></div>{note}")


def _class(number: bool, best: bool) -> str:
    names = " ".join(name for name, has in (("number", number), ("best", best)) if has)
    return f' class="{names}"' if names else ""


def _figures(summary: Summary) -> str:
    try:
        shown = [f'<picture><source media="(prefers-color-scheme: dark)" srcset="{_svg(summary, name, dark=True)}">'
                 f'<img src="{_svg(summary, name, dark=False)}" alt="{html.escape(FIGURES[name][0])}, a chart of the '
                 'tables on this page"></picture>' for name in FIGURES]
    except ConfigError as error:   # without matplotlib the page is whole but for its figures
        return f'<p class="note">{html.escape(str(error))}</p>'
    return '<div class="figures">' + "\n".join(shown) + "</div>"


def _svg(summary: Summary, name: str, *, dark: bool) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(draw(summary, name, dark=dark)).decode("ascii")


def _write_chunks(file: TextIO, checker: str, folders: Sequence[RunFolder], max_trajectories: int
                  ) -> list[dict[str, Any]]:
    """Write the trajectories in compressed pieces; returns an entry for each, which says where it is."""
    entries: list[dict[str, Any]] = []
    pending: list[str] = []
    n_chunks = size = written = 0

    def flush() -> None:
        nonlocal n_chunks, size, written, pending
        if pending:
            written += file.write(_packed(f"chunk-{n_chunks}", "[" + ",".join(pending) + "]"))
            n_chunks, size, pending = n_chunks + 1, 0, []

    for folder in folders:
        for record in folder.records():
            holds = len(entries) < max_trajectories and written < _MAX_PAGE
            entries.append(_entry(record, checker, len(entries), n_chunks if holds else -1, len(pending)))
            if holds:
                pending.append(json.dumps(_whole(folder.trajectory(record))))
                size += len(pending[-1])
                if size > _CHUNK:
                    flush()
    flush()
    return entries


def _entry(record: Record, checker: str, number: int, chunk: int, place: int) -> dict[str, Any]:
    about = record.about
    words = "\n".join([*map(str, about.get("answers", ())), str(about.get("expected", ""))])
    return {
        "id": number,
        "model": record.job.model,
        "format": record.job.format,
        "task": record.job.task,
        "repeat": record.job.repeat,
        "family": str(about.get("family", "")),
        "right": bool(about.get("verdicts", {}).get(checker)),
        "stop": str(record.stop),
        "turns": record.n_turns,
        "seconds": float(about.get("seconds", 0.0)),
        "words": words[:400],
        "chunk": chunk,
        "place": place,
    }


def _whole(trajectory: Trajectory) -> dict[str, Any]:
    about = trajectory.about
    return {
        "prompt": [[message.role, _cut(message.content)] for message in trajectory.prompt],
        "turns": [_turn(turn) for turn in trajectory.turns],
        "verdicts": [[str(name), bool(right)] for name, right in about.get("verdicts", {}).items()],
        "answers": [_cut(str(text)) for text in about.get("answers", ())],
        "expected": _cut(str(about.get("expected", ""))),
    }


def _turn(turn: Turn) -> dict[str, Any]:
    kind, thought, code, ignored = _done(turn.action, turn.completion.text)
    seen = turn.observation
    images = [[image.mime, base64.b64encode(image.data).decode("ascii")] for image in seen.images
              if len(image.data) <= _MAX_IMAGE]
    note = "\n[a picture is too large for this page; it is in the run's folder]" * (len(seen.images) - len(images))
    return {
        "kind": kind,
        "thought": _cut(thought),
        "code": _cut(code),
        "ignored": _cut(ignored),
        "reasoning": _cut(turn.completion.reasoning),
        "output": _cut(seen.text) + note,
        "status": seen.status,
        "images": images,
        "seconds": turn.seconds,
    }


def _done(action: Action, said: str) -> tuple[str, str, str, str]:
    """What a turn did: its kind, what was said before it, the action's text, what was ignored."""
    match action:
        case CodeAction(code, thought, ignored):
            return "code", thought, code, ignored
        case ToolCall(name, arguments, thought, ignored, positional):
            given = [*map(repr, positional), *(f"{key}={value!r}" for key, value in arguments.items())]
            return "tool call", thought, f"{name}({', '.join(given)})", ignored
        case Answer(text, thought):
            return "answer", thought, text, ""
        case Say(text):
            return "words without an action", text, "", ""
        case Malformed():
            return "unreadable", "", said, ""


def _cut(text: str) -> str:
    if len(text) <= _MAX_TEXT:
        return text
    half = _MAX_TEXT // 2
    note = f"[... {len(text) - 2 * half} characters are left out here; the run's folder has them ...]"
    return f"{text[:half]}\n{note}\n{text[-half:]}"


def _packed(name: str, text: str) -> str:
    """A block of data: base64 has no character that markup begins with."""
    data = base64.b64encode(gzip.compress(text.encode("ascii"), mtime=0)).decode("ascii")
    return f'<script type="application/octet-stream" id="{name}">{data}</script>\n'


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def _file(name: str) -> str:
    return resources.files("codeact.evals").joinpath("page_files", name).read_text(encoding="utf-8")
