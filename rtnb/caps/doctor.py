# SPDX-License-Identifier: MIT
"""What can this process do here? The whole table, for people and as JSON."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from rtnb import schema
from rtnb.caps.answer import CAPABILITIES, ask
from rtnb.schema import column, table

__all__ = ["Row", "doctor"]


@table("caps.doctor", version=1)
@dataclass(frozen=True)
class Row:
    """One capability, tried just now."""

    capability: str = column("str", "", "subject.ability, as in rtnb.caps.ask(name)")
    verdict: str = column("str", "", "yes, no, or cannot tell")
    what: str = column("str", "", "completes: may this process ...?")
    why: str = column("str", "", "what was obtained, or the binding reason of the refusal")
    remedy: str = column("str", "", "what would turn a no into a yes")


def doctor() -> pd.DataFrame:
    """Try every capability and return the table, a row each. Leaves nothing behind and changes nothing."""
    answers = [ask(name) for name in CAPABILITIES]
    return schema.frame(
        Row, {c.name: [getattr(a, c.name) for a in answers] for c in schema.TABLES["caps.doctor"].columns}
    )
