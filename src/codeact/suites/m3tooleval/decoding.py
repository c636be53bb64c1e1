"""Tools of the family `message_decoder`: texts in hexadecimal, reversed, under a Caesar cipher."""

from typing import Any

__all__ = ["TOOLS"]

_LETTERS = 26


def convert_hex_to_ascii(hex_string: str) -> str:
    """The text whose UTF-8 bytes are written in hexadecimal; blanks between bytes are allowed."""
    return bytes.fromhex(str(hex_string)).decode()


def reverse_string(string: str) -> str:
    """The characters in the opposite order."""
    return string[::-1]


def caesar_decode(message: str, shift: int) -> str:
    """Each letter moved back by so many places, around the ends of the alphabet; other characters stay.

    A letter outside of A to Z becomes one within, as the distance of its code is taken round by round like the others'.
    """
    back = int(shift)
    return "".join(_moved(character, back) if character.isalpha() else character for character in message)


def _moved(letter: str, back: int) -> str:
    first = ord("A" if letter.isupper() else "a")
    return chr((ord(letter) - first - back) % _LETTERS + first)


def string_length(string: str) -> int:
    """How many characters there are."""
    return len(string)


def minimum_value(*args: Any) -> Any:
    """The least of the arguments; one that is a list counts as a whole."""
    return min(args)


def maximum_value(*args: Any) -> Any:
    """The greatest of the arguments; one that is a list counts as a whole."""
    return max(args)


TOOLS = (convert_hex_to_ascii, reverse_string, caesar_decode, string_length, minimum_value, maximum_value)
