"""Tools of the family `trade_calculator`: prices, currencies and tariffs."""

from typing import Any

from codeact.suites.m3tooleval.calculator import calculator, times

__all__ = ["TOOLS"]


def convert_currency(base_price: float, conversion_rate: float) -> Any:
    """The price in the other currency."""
    return times(base_price, conversion_rate)


def calculate_tariff(price: float, tariff_rate: float) -> Any:
    """The tariff on a price at a rate in per cent."""
    return times(price, tariff_rate) / 100


def estimate_final_value(price: float, tariff: float) -> Any:
    """Price and tariff together."""
    return price + tariff


def find_minimum(*args: float) -> Any:
    """The least of the arguments."""
    return min(args)


def find_maximum(*args: float) -> Any:
    """The greatest of the arguments."""
    return max(args)


TOOLS = (convert_currency, calculate_tariff, estimate_final_value, calculator, find_minimum, find_maximum)
