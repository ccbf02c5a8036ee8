# SPDX-License-Identifier: MIT
"""Where on the picture is a value? An axis: its range, its pixels, and the marks with numbers beside it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rtnb.errors import BadInput

__all__ = ["Axis", "Floats", "floats"]

Floats = np.ndarray[Any, np.dtype[np.float64]]
_EXPONENT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_PAD = 0.05


def floats(values: Any) -> Floats:
    """A trace's values as numbers; what is none is NaN. Raises BadInput for names and dates."""
    if isinstance(values, Mapping) and "bdata" in values:  # how plotly stores an array as JSON
        import base64

        values = np.frombuffer(base64.b64decode(values["bdata"]), dtype=np.dtype(values["dtype"]))
    try:
        return np.atleast_1d(np.asarray([] if values is None else values, dtype="float64"))
    except (TypeError, ValueError):
        pass
    try:
        return np.asarray([math.nan if value is None else value for value in values], dtype="float64")
    except (TypeError, ValueError):
        raise BadInput("svg", "an axis has names or dates on it", "only numbers can be drawn, with ticktext") from None


@dataclass(frozen=True)
class Axis:
    """An axis from `low` to `high` (of a logarithmic one the exponents of ten), on the pixels from `start` to `end`."""

    low: float
    high: float
    log: bool
    layout: Mapping[str, Any]
    start: float = 0
    end: float = 1

    @classmethod
    def of(cls, layout: Mapping[str, Any], extents: Iterable[Floats], bars: bool = False) -> Axis:
        """The axis that plotly's layout says, around all `extents`; from zero, where there are bars along it."""
        kind = layout.get("type") or "linear"
        if kind not in ("linear", "log", "-"):
            raise BadInput("svg", f"there is an axis of type {kind}", "linear and log can be drawn")
        low, high = _range(layout, list(extents), kind == "log", bars)
        return cls(low, high, kind == "log", layout)

    def on(self, start: float, end: float) -> Axis:
        """The same axis, on those pixels."""
        return replace(self, start=start, end=end)

    def at(self, values: Any) -> Floats:
        """The pixels of values; NaN for what this axis does not have (zero, on a logarithmic one)."""
        found = floats(values)
        if self.log:
            with np.errstate(divide="ignore", invalid="ignore"):
                found = np.where(found > 0, np.log10(found), np.nan)
        return self.start + (found - self.low) / (self.high - self.low) * (self.end - self.start)

    def pixel(self, value: float) -> float:
        """The pixel of one value."""
        return float(self.at(value)[0])

    @property
    def zero(self) -> float:
        """The pixel where bars begin: that of zero; of a logarithmic axis, its low end."""
        if self.log:
            return self.start if self.low < self.high else self.end
        return self.pixel(0)

    def ticks(self, about: int) -> list[tuple[float, str]]:
        """Pixels and their words, about so many of them where the layout names none; those outside left out."""
        if self.layout.get("showticklabels") is False:
            return []
        at, words = self._named() if self.layout.get("tickvals") is not None else self._round(about)
        low, high = sorted((self.start, self.end))
        pixels = self.at(at)
        return [(p, w) for p, w in zip(pixels.tolist(), words, strict=False) if low - 0.5 <= p <= high + 0.5]

    def _named(self) -> tuple[Floats, list[str]]:
        at = floats(self.layout["tickvals"])
        words = self.layout.get("ticktext")
        return at, [_words(value) for value in at] if words is None else list(map(str, words))

    def _round(self, about: int) -> tuple[Floats, list[str]]:
        low, high = sorted((self.low, self.high))
        if not self.log:
            at = _steps(low, high, about)
            return at, [_words(value) for value in at]
        step = max(1, round((high - low) / about))
        exponents = range(math.floor(low), math.ceil(high) + 1)
        digits: tuple[int, ...] = (1,) if high - low > 2.5 or step > 1 else (1, 2, 5)
        at = np.asarray([d * 10.0**e for e in exponents if e % step == 0 for d in digits])
        return at, [_power(value) for value in at]


def _range(layout: Mapping[str, Any], extents: list[Floats], log: bool, bars: bool) -> tuple[float, float]:
    given = layout.get("range")
    if given is not None and None not in given:
        return _apart(float(given[0]), float(given[1]))
    every = np.concatenate([np.empty(0), *extents])
    every = every[np.isfinite(every) & (every > 0)] if log else every[np.isfinite(every)]
    every = np.log10(every) if log else every
    low, high = (float(every.min()), float(every.max())) if len(every) else (0.0, 1.0)
    if bars and log:
        low = math.floor(low - 0.2)
    based = bars or (layout.get("rangemode") == "tozero" and not log)
    if based and not log:
        low, high = min(low, 0.0), max(high, 0.0)
    low, high = _apart(low, high)
    pad = _PAD * (high - low)
    low = low if based and (low == 0 or log) else low - pad
    high += pad
    return (high, low) if layout.get("autorange") == "reversed" else (low, high)


def _apart(low: float, high: float) -> tuple[float, float]:
    return (low - 0.5, high + 0.5) if low == high else (low, high)


def _steps(low: float, high: float, about: int) -> Floats:
    """Multiples of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / max(about, 1)
    size = 10.0 ** math.floor(math.log10(rough))
    step = size * next(m for m in (1, 2, 5, 10) if m * size >= rough * 0.8)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return np.asarray([n * step for n in range(first, last + 1)])


def _words(value: float) -> str:
    rounded = float(f"{value:.10g}") + 0.0
    return f"{rounded:,.10g}" if 1e-4 <= abs(rounded) < 1e12 or rounded == 0 else f"{rounded:.4g}"


def _power(value: float) -> str:
    exponent = round(math.log10(value))
    if -4 < math.log10(value) < 5:
        return _words(value)
    mantissa = value / 10.0**exponent
    return ("" if round(mantissa) == 1 else f"{mantissa:.0f}·") + "10" + str(exponent).translate(_EXPONENT)
