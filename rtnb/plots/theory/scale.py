# SPDX-License-Identifier: MIT
"""In what are the theory's times drawn? Ticks become the set's own unit, or s, ms, us or ns where it has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rtnb.errors import BadInput
from rtnb.theory.exact import Time, exact, from_ticks, words
from rtnb.units import NS

__all__ = ["Scale"]

_UNITS = ("s", "ms", "us")
_ENOUGH = 3
"""An axis that reaches so many of a unit is drawn in it."""


@dataclass(frozen=True)
class Scale:
    """How long a tick is: `per_unit` of them are one of the set's units ("ns", or "" for one without a name)."""

    per_unit: int
    unit: str
    drawn: str = ""
    """What the axis counts in."""

    @classmethod
    def of(cls, details: Mapping[str, Any], longest: float) -> Scale:
        """The scale of an axis that reaches to `longest` ticks, under a header's details."""
        per_unit, unit = int(details.get("per_unit", 1)), str(details.get("unit", ""))
        if per_unit < 1 or unit not in ("", "ns"):
            raise BadInput("plot", "its header does not say how long a tick is", "take the frame as it was computed")
        ns = longest / per_unit
        fits = next((name for name in _UNITS if ns >= _ENOUGH * NS[name]), "ns")
        return cls(per_unit, unit, fits if unit else "")

    def __call__(self, ticks: Any) -> Any:
        """Ticks as numbers on the axis."""
        size = self.per_unit * (NS[self.drawn] if self.drawn else 1)
        return np.asarray(ticks, dtype="float64") / size

    def axis(self, what: str) -> str:
        """An axis title with its unit."""
        return f"{what}, {self.drawn or 'units of the set'}"

    def words(self, ticks: float) -> str:
        """A number of ticks in words."""
        return words(from_ticks(int(ticks), self.per_unit), self.unit)

    def ticks(self, given: Time | str, what: str) -> float:
        """A time of the set as ticks: of one with a unit `2ms`, or whole ns. Raises BadInput."""
        return float(exact(given, what, self.unit)[0] * self.per_unit)
