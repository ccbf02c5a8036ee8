# SPDX-License-Identifier: MIT
"""Who takes what, so that the sum is the largest? The assignment problem, in whole numbers."""

from __future__ import annotations

__all__ = ["assignment"]


def assignment(weight: list[list[int]]) -> list[int]:
    """For each row its column, of the largest sum; not more rows than columns. In whole numbers, so exactly.

    The Hungarian method by shortest paths: a row after the other finds the cheapest way to a free column. Kuhn, "The
    Hungarian method for the assignment problem", Naval Research Logistics Quarterly 2, 1955.
    """
    rows, columns = len(weight), len(weight[0]) if weight else 0
    price_row, price_column = [0] * (rows + 1), [0] * (columns + 1)
    owner, before = [rows] * (columns + 1), [columns] * (columns + 1)  # the last column stands for "none yet"
    for row in range(rows):
        owner[columns], here = row, columns
        least: list[int | None] = [None] * columns
        seen = [False] * (columns + 1)
        while owner[here] != rows:
            seen[here] = True
            for col in range(columns):
                cost = -weight[owner[here]][col] - price_row[owner[here]] - price_column[col]
                known = least[col]
                if not seen[col] and (known is None or cost < known):
                    least[col], before[col] = cost, here
            step, best = min((cost, col) for col, cost in enumerate(least) if cost is not None and not seen[col])
            for col in range(columns + 1):
                if seen[col]:
                    price_row[owner[col]] += step
                    price_column[col] -= step
                elif col < columns and (reached := least[col]) is not None:
                    least[col] = reached - step
            here = best
        while here != columns:
            owner[here] = owner[before[here]]
            here = before[here]
        owner[columns] = rows
    assigned = {row: col for col, row in enumerate(owner[:columns])}
    return [assigned[row] for row in range(rows)]
