"""A small assembler for seccomp's filter programs (classic BPF). Used by `seccomp.py`.

A filter sees one system call: its number, the machine and six 64-bit arguments. Here only the low half of an argument
is ever looked at: every argument a rule treats is an int or a mask in the kernel, which drops the high half too.

Jumps in BPF reach 255 instructions forward and no further, so rules carry their own returns and skip little.

Source: linux/filter.h, linux/seccomp.h, seccomp(2).
"""

from __future__ import annotations

import struct
from typing import Dict, Iterable, List, Optional, Tuple, Union

__all__ = ["ALLOW", "ARCH", "KILL", "NUMBER", "Program", "argument", "errno_action"]

ALLOW = 0x7FFF0000
KILL = 0x80000000
"""Ends the whole process, not the thread alone."""

NUMBER, ARCH = 0, 4
"""Offsets in struct seccomp_data."""

_LOAD, _AND, _RETURN = 0x20, 0x54, 0x06
_JUMPS = {"==": 0x15, ">=": 0x35, "&": 0x45}

_Target = Union[int, str]


def argument(index: int) -> int:
    """The offset of the low half of an argument, 0 to 5 (both machines are little-endian)."""
    return 16 + 8 * index


def errno_action(number: int) -> int:
    """Do nothing and report this error; 0 pretends success."""
    return 0x00050000 | number


class Program:
    """Instructions in the making. `test` operators: "==", ">=" (unsigned), "&" (any bit of)."""

    def __init__(self) -> None:
        self._code: List[Tuple[int, _Target, _Target, int]] = []
        self._labels: Dict[str, int] = {}

    def load(self, offset: int) -> None:
        """Look at another word of the call; tests are about the word loaded last."""
        self._code.append((_LOAD, 0, 0, offset))

    def mask(self, bits: int) -> None:
        """Keep only these bits of the word."""
        self._code.append((_AND, 0, 0, bits))

    def give(self, action: int) -> None:
        """End here with this action."""
        self._code.append((_RETURN, 0, 0, action))

    def test(self, operator: str, value: int, yes: Optional[str] = None, no: Optional[str] = None) -> None:
        """Go on at a label, or at the next instruction where none is named."""
        self._code.append((_JUMPS[operator], yes or 0, no or 0, value))

    def give_if(self, operator: str, value: int, action: int) -> None:
        """End with this action if the test holds."""
        self._code.append((_JUMPS[operator], 0, 1, value))
        self.give(action)

    def give_unless(self, operator: str, value: int, action: int) -> None:
        """End with this action if the test does not hold."""
        self._code.append((_JUMPS[operator], 1, 0, value))
        self.give(action)

    def test_any(self, values: Iterable[int], no: str) -> None:
        """Go on if the word is one of the values, else at the label `no`."""
        found, values = self.new_label(), list(values)
        for value in values[:-1]:
            self.test("==", value, yes=found)
        self.test("==", values[-1], yes=found, no=no)
        self.label(found)

    def new_label(self) -> str:
        """A name nobody has used."""
        name = "label %d" % len(self._labels)
        self._labels[name] = -1
        return name

    def label(self, name: str) -> None:
        """The next instruction is where this label leads."""
        self._labels[name] = len(self._code)

    def assemble(self) -> bytes:
        """The program as an array of struct sock_filter.

        Raises:
            ValueError: A jump is too long, or leads back or nowhere.
        """
        def offset(target: _Target, index: int) -> int:
            if isinstance(target, int):
                return target
            distance = self._labels[target] - index - 1
            if not 0 <= distance <= 255:
                raise ValueError("a jump of %d instructions is not possible in BPF" % distance)
            return distance

        return b"".join(struct.pack("=HBBI", code, offset(yes, index), offset(no, index), value)
                        for index, (code, yes, no, value) in enumerate(self._code))
