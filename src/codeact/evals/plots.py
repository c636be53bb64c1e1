"""The report's figures, with matplotlib (imported when one is drawn): success and turns as in Figure 1 of the paper.

    plots.save(summary, Path("figures"))       # success.png, success.svg, turns.png, ...
"""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from codeact.errors import ConfigError
from codeact.evals.summary import Line, Summary
from codeact.evals.tables import title

__all__ = ["FIGURES", "draw", "save"]

_COLOURS = ("#2a6fb0", "#e08a1e", "#4d9a51", "#a05195", "#7a7a7a", "#c8403a", "#2ca6a4", "#8c6d31")


def save(summary: Summary, folder: Path) -> list[Path]:
    """Write every figure as PNG and SVG into a folder, which is made; returns their paths.

    Raises:
        ConfigError: matplotlib is not installed, or the folder cannot be written.
    """
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in FIGURES:
            for kind in ("png", "svg"):
                path = folder / f"{name}.{kind}"
                path.write_bytes(draw(summary, name, kind=kind))
                written.append(path)
    except OSError as error:
        raise ConfigError(f"cannot write figures to {folder}: {error.strerror}") from None
    return written


def draw(summary: Summary, name: str, *, kind: str = "svg", dark: bool = False) -> bytes:
    """One figure as a file of a kind that matplotlib knows; the same bytes each time.

    Args:
        dark: Light strokes on nothing, for a dark page.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    try:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ConfigError("figures need matplotlib: pip install 'codeact[science]'") from None
    ink = "#dddddd" if dark else "#222222"
    style: Any = {"svg.hashsalt": "codeact", "text.color": ink, "axes.labelcolor": ink, "axes.edgecolor": ink,
             "xtick.color": ink, "ytick.color": ink, "font.size": 10, "axes.spines.top": False,
             "axes.spines.right": False, "text.parse_math": False}
    with matplotlib.rc_context(style):
        n_bars = max(1, len(summary.models)) * max(1, len(summary.formats))
        figure = Figure(figsize=(max(6.4, min(24.0, 0.34 * n_bars + 2)), 3.8), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        caption, paint = FIGURES[name]
        paint(axes, summary)
        axes.set_title(f"{caption}: {title(summary)}", loc="left", fontsize=11)
        axes.grid(axis="y", alpha=0.25)
        axes.set_axisbelow(True)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
        made = io.BytesIO()
        metadata = {"Date": None} if kind == "svg" else None
        figure.savefig(made, format=kind, dpi=150, transparent=dark or kind == "svg", metadata=metadata)
    return made.getvalue()


def _success(axes: Any, summary: Summary) -> None:
    def bar(line: Line) -> tuple[float, float, float]:
        rate = line.success[summary.checker]
        return 100 * rate.value, 100 * rate.interval.low, 100 * rate.interval.high

    _bars(axes, summary, bar)
    axes.set_ylim(0, 100)
    axes.set_ylabel("success, %")


def _turns(axes: Any, summary: Summary) -> None:
    _bars(axes, summary, lambda line: (line.turns, *line.turns_interval))
    axes.set_ylabel("average turns")


def _adoption(axes: Any, summary: Summary) -> None:
    _bars(axes, summary, lambda line: (100 * (line.adoption or 0.0),) * 3)
    axes.axhline(90, linestyle=":", linewidth=1, color="#c8403a")
    axes.set_ylim(0, 100)
    axes.set_ylabel("turns that used the format, %")


def _bars(axes: Any, summary: Summary, bar: Callable[[Line], tuple[float, float, float]]) -> None:
    """A group of bars for each model, a bar for each format."""
    formats = summary.formats
    width = 0.8 / max(1, len(formats))
    for number, format in enumerate(formats):
        found = [(place, line) for place, model in enumerate(summary.models) if (line := summary.line(model, format))]
        values = [bar(line) for _, line in found]
        places = [place + (number - (len(formats) - 1) / 2) * width for place, _ in found]
        heights = [value for value, _, _ in values]
        reach = [[max(0.0, value - low) for value, low, _ in values],
                 [max(0.0, high - value) for value, _, high in values]]
        axes.bar(places, heights, width * 0.92, color=_COLOURS[number % len(_COLOURS)], label=format)
        if any(map(any, reach)):
            axes.errorbar(places, heights, yerr=reach, fmt="none", ecolor="#808080", elinewidth=1, capsize=2)
    _names(axes, summary.models)


def _ends(axes: Any, summary: Summary) -> None:
    """One stacked bar for each model and format."""
    kinds = list(dict.fromkeys(kind for line in summary.lines for kind in line.ends))
    below = [0.0] * len(summary.lines)
    for number, kind in enumerate(kinds):
        shares = [100 * line.ends.get(kind, 0) / line.n_done for line in summary.lines]
        axes.bar(range(len(shares)), shares, 0.7, bottom=below, color=_COLOURS[number % len(_COLOURS)],
                 label=kind.replace("_", " "))
        below = [low + share for low, share in zip(below, shares, strict=True)]
    _names(axes, [f"{line.model}\n{line.format}" for line in summary.lines])
    axes.set_ylabel("jobs, %")


def _names(axes: Any, names: Sequence[str]) -> None:
    many = len(names) > 4
    axes.set_xticks(range(len(names)), [_short(name) for name in names], rotation=30 if many else 0,
                    ha="right" if many else "center")


def _short(name: str) -> str:
    return "\n".join(part if len(part) <= 32 else f"{part[:31]}…" for part in name.split("\n")[:2])


FIGURES: dict[str, tuple[str, Callable[[Any, Summary], None]]] = {
    "success": ("Success", _success),
    "turns": ("Average turns", _turns),
    "adoption": ("Adoption of the format", _adoption),
    "ends": ("How jobs ended", _ends),
}
"""By file name: what it is called, and what paints it."""
