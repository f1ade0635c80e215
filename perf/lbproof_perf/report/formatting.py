"""Format figures for a reader: values with their unit, intervals, times and ratios."""

from __future__ import annotations

import math

_UNITS = ("seconds_per_address", "per_second_per_core", "per_second", "seconds", "bytes", "cores", "share")


def unit_of(name: str) -> str:
    """The unit that ends a figure's name; empty for a count."""
    return next((one for one in _UNITS if name == one or name.endswith(f"_{one}")), "")


def value_text(number: float | None, name: str) -> str:
    """A figure with its unit: `143 ms`, `12.5k/s`, `31 MiB`, `17`; one that did not come about is `never`."""
    kind = unit_of(name)
    if number is None or math.isinf(number):
        return "never" if kind.startswith("seconds") else "none"
    if math.isnan(number):
        return "unknown"
    if kind.startswith("seconds"):
        return seconds_text(number)
    if kind == "bytes":
        return f"{number / 2**20:.3g} MiB" if number < 2**30 else f"{number / 2**30:.3g} GiB"
    if kind == "share":
        return f"{number:.5g}" if number > 1 else f"{number * 100:.5g} %"
    text = f"{number:.3g}" if kind == "cores" else _count(number)
    return f"{text}/s" if kind.startswith("per_second") else text


def range_text(low: float, high: float, name: str) -> str:
    """Both ends of an interval; a unit that both have is said once: `139 to 150 ms`."""
    one, other = value_text(low, name), value_text(high, name)
    number, _, kind = one.partition(" ")
    return f"{number} to {other}" if kind and other.endswith(f" {kind}") else f"{one} to {other}"


def seconds_text(number: float) -> str:
    """A time in the unit that a reader takes in: three digits that count, `0` for none."""
    if number == 0:
        return "0"
    for below, factor, name in ((1e-6, 1e9, "ns"), (1e-3, 1e6, "µs"), (1, 1e3, "ms"), (90, 1, "s")):
        if abs(number) < below:
            return f"{_three(number * factor)} {name}"
    return f"{_three(number / 60)} min"


def ratio_text(number: float) -> str:
    """A ratio: `0.029x`, `12x`; infinite and undefined ones in words."""
    if math.isnan(number):
        return "undefined"
    return "infinite" if math.isinf(number) else f"{_three(number)}x"


def _three(number: float) -> str:
    text = f"{number:.3g}"
    return f"{float(text):,.0f}" if "e+" in text else text


def _count(number: float) -> str:
    if abs(number) >= 10_000:  # noqa: PLR2004 - from here on three digits are enough
        return f"{_three(number / 1000)}k"
    return f"{number:,.0f}" if number == int(number) else _three(number)
