# SPDX-License-Identifier: MIT
"""How are the largest of many values distributed? Two laws, fitted by L-moments: of maxima, and of excesses.

Both have one form. x = location + scale h(y), h(y) = (y^-xi - 1) / xi (at xi = 0: -log y); y is exponential for block
maxima (the generalised extreme value law, GEV), uniform for excesses over a threshold (generalised Pareto, GPD).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Fitted", "Law", "anderson_darling"]

Array = np.ndarray[Any, Any]
_EULER = 0.5772156649015329
_MOST_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Fitted:
    """The parameters of a law: location, scale, and the shape xi, below 0 where there is an upper end."""

    location: Any
    scale: Any
    xi: Any

    def value(self, y: Any) -> Any:
        """The value that belongs to y: of one fit an array's, of many fits one of each."""
        return self.location + self.scale * _stretched(y, self.xi)

    def y(self, value: Array) -> Array:
        """The y that belongs to a value; beyond an end of the law, 0 or infinite."""
        z = (value - self.location) / self.scale
        small = np.abs(self.xi) < 1e-8
        xi = np.where(small, 1.0, self.xi)
        inside = np.maximum(1 + xi * z, 0)
        with np.errstate(divide="ignore", over="ignore"):
            return np.where(small, np.exp(-z), inside ** (-1 / xi))  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Law:
    """GEV (of maxima) or GPD (of excesses); with `light`, xi is 0: Gumbel, exponential."""

    maxima: bool
    light: bool

    def __str__(self) -> str:
        return ("Gumbel" if self.light else "GEV") if self.maxima else ("exponential" if self.light else "GPD")

    def fit(self, values: Array) -> Fitted:
        """The law that has the L-moments of the values (along the last axis: many samples at once).

        Hosking, Wallis & Wood, "Estimation of the generalized extreme-value distribution by the method of
        probability-weighted moments", Technometrics 27(3), 1985; Hosking & Wallis, "Parameter and quantile estimation
        for the generalized Pareto distribution", Technometrics 29(3), 1987.
        """
        first, second, third = _moments(values)
        zero = np.zeros_like(first)
        if not self.maxima:
            k = zero if self.light else first / second - 2
            return Fitted(zero, (1 + k) * first, -k)
        if self.light:
            scale = second / np.log(2)
            return Fitted(first - _EULER * scale, scale, zero)
        return _gev(first, second, third)

    def drawn(self, fitted: Fitted, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        """Random values of the law."""
        y = rng.standard_exponential(shape) if self.maxima else 1 - rng.random(shape)
        return fitted.value(y)  # type: ignore[no-any-return]

    def below(self, fitted: Fitted, values: Array) -> Array:
        """The probability of a value not above each of these."""
        y = fitted.y(values)
        return np.exp(-y) if self.maxima else np.clip(1 - y, 0, 1)

    def again(self, fitted: Fitted, count: int, times: int, rng: np.random.Generator) -> tuple[Fitted, Fitted, Array]:
        """Samples of so many values of the law, drawn and fitted anew that many times (the parametric bootstrap).

        Returns the fits, the fits with any xi, and how far each sample lies from its fit.
        """
        parts: list[tuple[Fitted, Fitted, Array]] = []
        step = max(1, _MOST_AT_ONCE // count)
        for begin in range(0, times, step):
            values = self.drawn(fitted, (min(step, times - begin), count), rng)
            own = self.fit(values)
            column = Fitted(own.location[:, None], own.scale[:, None], own.xi[:, None])
            distance = anderson_darling(self.below(column, values))
            parts.append((own, Law(self.maxima, False).fit(values), distance))
        return _joined([p[0] for p in parts]), _joined([p[1] for p in parts]), np.concatenate([p[2] for p in parts])


def _joined(fits: list[Fitted]) -> Fitted:
    return Fitted(*(np.concatenate([getattr(f, name) for f in fits]) for name in ("location", "scale", "xi")))


def _stretched(y: Any, xi: Any) -> Any:
    """(y^-xi - 1) / xi, and its limit at xi = 0."""
    small = np.abs(xi) < 1e-8
    return np.where(small, -np.log(y), np.expm1(-xi * np.log(y)) / np.where(small, 1.0, xi))


def _moments(values: Array) -> tuple[Array, Array, Array]:
    """The first two L-moments and the ratio of the third to the second, which is the L-skewness."""
    x = np.sort(values, axis=-1)
    n = x.shape[-1]
    i = np.arange(n)
    b0, b1 = x.mean(axis=-1), x @ (i / (n - 1)) / n
    b2 = x @ (i * (i - 1) / ((n - 1) * (n - 2))) / n
    second = 2 * b1 - b0
    return np.asarray(b0), np.asarray(second), np.asarray((6 * b2 - 6 * b1 + b0) / second)


def _gev(first: Array, second: Array, skew: Array) -> Fitted:
    """By Hosking's approximation of the shape, which is within 0.001 for xi from -1/2 to 1/2."""
    from scipy.special import gamma

    c = 2 / (3 + skew) - np.log(2) / np.log(3)
    k = 7.8590 * c + 2.9554 * c * c
    k = np.where(np.abs(k) < 1e-7, 1e-7, k)  # at 0 the formulas below are 0 / 0
    scale = second * k / ((1 - 2.0**-k) * gamma(1 + k))
    return Fitted(first - scale * (1 - gamma(1 + k)) / k, scale, -k)


def anderson_darling(below: Array) -> Array:
    """How far samples lie from a law, the tails counted most: A^2 of their probabilities (along the last axis).

    Anderson & Darling, "A test of goodness of fit", Journal of the American Statistical Association 49, 1954.
    """
    F = np.sort(np.clip(below, 1e-12, 1 - 1e-12), axis=-1)
    n = F.shape[-1]
    weight = (2 * np.arange(1, n + 1) - 1) / n
    return np.asarray(-n - (np.log(F) + np.log1p(-F[..., ::-1])) @ weight)
