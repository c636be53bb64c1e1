"""The original's verdict on an answer, faults included: what the paper's figures were made with.

Its faults: a list, tuple or dict must be written to the letter as Python prints it; a number is right already when its
whole part is written; text must match in case and blanks; 380.42 is wrong where floating point gave 380.41999999999996.

Source: paper section 2.3; `answer_verdicts.jsonl` of the data has recorded verdicts that this one agrees with.
"""

from typing import Any

__all__ = ["agrees"]

_MAX_CHARS = 100_000
"""Longer ones are wrong: no answer of the suite is near it."""


def agrees(expected: Any, answer: str) -> bool:
    """Whether the original would have taken the answer; never raises."""
    if len(answer) > _MAX_CHARS:
        return False
    if isinstance(expected, list | tuple | dict):
        return answer == str(expected)
    if answer.startswith(("'", '"')):
        answer = answer.strip("'\"")
    if isinstance(expected, str | bool):
        return answer == str(expected)
    return _same_number(answer, expected)


def _same_number(answer: str, expected: float) -> bool:
    try:
        return int(answer) == int(expected)
    except ValueError:
        pass
    try:
        return float(answer) == expected
    except ValueError:
        return False
