"""What plain `codeact` replays when no model is configured: a task, its file, and a conversation we wrote.

The words are ours and fixed (`conversation.jsonl`); the code in them is run for real each time, so the output, the
error and the plot are made on the user's machine. The numbers are chosen so that the answer is true of them; a test
checks that.
"""

from importlib import resources
from pathlib import Path

__all__ = ["FILE", "TASK", "conversation", "sales"]

TASK = "Plot the monthly totals in sales.csv and tell me the best month."
FILE = "sales.csv"

_REGIONS = {"North": 100, "South": 80, "West": 65}
_SEASON = (82, 78, 91, 97, 104, 110, 96, 88, 103, 112, 131, 124)
"""Per cent of an ordinary month, January to December."""


def sales() -> str:
    """The text of sales.csv: a year, three regions, two entries a month, thousands written with a comma."""
    lines = ["date,region,amount"]
    for month, season in enumerate(_SEASON, start=1):
        for day in (7, 21):
            for region, size in _REGIONS.items():
                cents = size * season * 13 + (month * 37 + day * 11 + size) % 97 * 100
                amount = f"{cents / 100:,.2f}"
                quoted = f'"{amount}"' if "," in amount else amount
                lines.append(f"2024-{month:02}-{day:02},{region},{quoted}")
    return "\n".join(lines) + "\n"


def conversation() -> Path:
    """The file with the model's replies, for the scripted model."""
    return Path(str(resources.files(__name__).joinpath("conversation.jsonl")))
