"""Runs a seccomp filter without a kernel, so that the aarch64 filter can be tested on any machine.

Only what seccomp allows in classic BPF and our filters use; anything else is an error of the filter. Written from
seccomp(2) and linux/filter.h, apart from the assembler it checks.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7, "i386": 0x40000003, "arm": 0x40000028}

MAX_INSTRUCTIONS = 4096


def interpret(program: bytes, machine: str, nr: int, args: Sequence[int] = ()) -> str | int:
    """What the filter answers: "allow", "kill", or the number of the error (0: pretended success)."""
    assert len(program) % 8 == 0
    code = [struct.unpack_from("<HBBI", program, offset) for offset in range(0, len(program), 8)]
    assert 0 < len(code) <= MAX_INSTRUCTIONS
    padded = [value & 0xFFFFFFFFFFFFFFFF for value in args] + [0] * (6 - len(args))
    data = struct.pack("<IIQ6Q", nr & 0xFFFFFFFF, AUDIT_ARCH[machine], 0x7F0000001000, *padded)
    word, at = 0, 0
    while True:
        operation, yes, no, value = code[at]
        at += 1
        if operation == 0x20:
            assert value % 4 == 0
            assert value <= 60
            word = struct.unpack_from("<I", data, value)[0]
        elif operation == 0x54:
            word &= value
        elif operation == 0x15:
            at += yes if word == value else no
        elif operation == 0x35:
            at += yes if word >= value else no
        elif operation == 0x45:
            at += yes if word & value else no
        elif operation == 0x06:
            return _action(value)
        else:
            raise AssertionError(f"instruction {at - 1} has operation {operation:#x}")


def _action(value: int) -> str | int:
    if value == 0x7FFF0000:
        return "allow"
    if value == 0x80000000:
        return "kill"
    assert value >> 16 == 5, f"unknown action {value:#x}"
    return value & 0xFFFF
