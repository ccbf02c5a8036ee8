# SPDX-License-Identifier: MIT
"""`python -m rtnb doctor`: what may this process do here? `undo`: what killed ones left; `record`: notebooks anew."""

from __future__ import annotations

import argparse
import textwrap
from pathlib import Path

from rtnb import caps, journal

__all__ = ["main"]


def main(words: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser("rtnb", description="Look into the Linux kernel.")
    commands = parser.add_subparsers(dest="command", required=True)
    doctor = commands.add_parser("doctor", help="what this process may do here, and what would help")
    doctor.add_argument("--json", action="store_true", help="as JSON")
    undo = commands.add_parser("undo", help="put back what killed notebooks have left changed")
    undo.add_argument("--json", action="store_true", help="as JSON")
    record = commands.add_parser("record", help="run notebooks live; save their outputs and recordings anew")
    record.add_argument("notebook", nargs="+", type=Path)
    args = parser.parse_args(words)
    if args.command == "record":
        from rtnb.magics.record import record as run_live

        for notebook in args.notebook:
            run_live(notebook)
        return 0
    table = caps.doctor() if args.command == "doctor" else journal.undo()
    lines = _capabilities if args.command == "doctor" else _changes
    print(table.to_json(orient="records", indent=1) if args.json else lines(table.to_dict("records")))
    return 0


def _changes(rows: list[dict[str, str]]) -> str:
    """What became of each change, for a terminal."""
    lines = [f"{row['state']:<12} {row['what'] or row['file']}: {row['detail'] or row['file']}" for row in rows]
    return "\n".join(lines) or "nothing was left changed"


def _capabilities(rows: list[dict[str, str]]) -> str:
    """The table for a terminal: verdict, capability, why; the remedy below a no."""
    lines = []
    for row in rows:
        lines.append(f"{row['verdict']:<12} {row['capability']:<16} {row['what']}: {row['why']}")
        if row["remedy"]:
            lines += textwrap.wrap(row["remedy"], 100, initial_indent=" " * 13 + "-> ", subsequent_indent=" " * 16)
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
