"""Tools that any system might have and no task needs; what they answer depends on nothing but what they are asked."""

from zlib import crc32

__all__ = ["GENERAL"]


def translate_word(word: str, language: str) -> str:
    """The word in another language, where the dictionary has it; else the word itself."""
    return word


def weather_report(place: str) -> dict[str, str | int]:
    """Today's weather at a place: {"sky": text, "celsius": whole number}."""
    seen = crc32(place.encode("utf-8", "replace"))
    return {"sky": ("clear", "cloudy", "rain", "fog")[seen % 4], "celsius": seen // 7 % 30}


def phone_prefix(place: str) -> str:
    """The dialling prefix of a place."""
    return f"+{100 + crc32(place.encode('utf-8', 'replace')) % 900}"


def word_count(text: str) -> int:
    """How many words a text has."""
    return len(text.split())


def company_motto() -> str:
    """The motto of the house."""
    return "Measure first."


def is_holiday(date: str) -> bool:
    """Whether a date (YYYY-MM-DD) is a public holiday."""
    return date.endswith(("-01-01", "-05-01", "-12-25"))


def spell_check(text: str) -> list[str]:
    """Words of a text that the dictionary does not have."""
    return []


def send_reminder(person: str, text: str) -> str:
    """Send somebody a reminder; returns "sent"."""
    return "sent"


GENERAL = (translate_word, weather_report, phone_prefix, word_count, company_motto, is_holiday, spell_check,
           send_reminder)  # fmt: skip
