# SPDX-License-Identifier: MIT
"""Write docs/schemas.md and docs/magics.md from the code; with --check, only say whether they are stale."""

from __future__ import annotations

import argparse
import inspect
import sys
from pathlib import Path

import rtnb  # noqa: F401  (declares the tables)
from rtnb.magics import RtnbMagics
from rtnb.magics.skins import LIBRARY
from rtnb.schema import TABLES

HERE = Path(__file__).parent
MADE = "<!-- Made by `make docs` from the code: edit that instead. -->"


def schemas() -> str:
    """A table of columns for each declared row type."""
    lines = ["# Schemas", "", MADE, ""]
    lines += ["Every frame that rtnb returns, column by column. `Int64` is pandas' nullable integer: `<NA>` where"]
    lines += ["there is no number. A `%%bpf` cell's maps and records are typed by the cell's own C instead.", ""]
    for declared in sorted(TABLES.values(), key=lambda t: t.name):
        if not declared.row.__module__.startswith("rtnb."):
            continue
        lines += [f"## {declared.name}", "", f"Version {declared.version}. {declared.doc}", ""]
        lines += ["| column | dtype | unit | meaning |", "|---|---|---|---|"]
        lines += [f"| `{c.name}` | {c.dtype} | {c.unit or '-'} | {c.help} |" for c in declared.columns]
        lines += [""]
    return "\n".join(lines)


def magics() -> str:
    """Every magic's help, with the library function behind it."""
    lines = ["# Magics", "", MADE, "", "`%load_ext rtnb` registers them; `%strace?` shows the same in a notebook.", ""]
    for name in sorted(RtnbMagics.magics["cell"] | RtnbMagics.magics["line"]):
        forms = [sign + name for sign, kind in (("%", "line"), ("%%", "cell")) if name in RtnbMagics.magics[kind]]
        magic = getattr(RtnbMagics, name)
        lines += [
            f"## {' and '.join(forms)}",
            "",
            *_description(magic.parser.description),
            "",
            *_options(magic.parser),
            "",
        ]
        if name in LIBRARY:
            function = LIBRARY[name]
            where = f"rtnb.{function.__module__.split('.')[1]}.{function.__name__}"
            signature = str(inspect.signature(function)).replace("'", "")
            lines += ["The library:", "", "```python", f"{where}{signature}", "```", ""]
    return "\n".join(lines)


def _description(text: str) -> list[str]:
    """The magic's docstring, its example as code."""
    what, _, example = inspect.cleandoc(text).partition("Example::")
    return [what.strip(), "", "```text", inspect.cleandoc(example).strip("\n"), "```"]


def _options(parser: argparse.ArgumentParser) -> list[str]:
    """A table of options; not argparse's own help, whose shape depends on the terminal and the Python."""
    rows = ["| option | meaning |", "|---|---|"]
    for action in parser._actions:
        value = "" if action.nargs == 0 or not action.option_strings else f" {action.metavar or action.dest.upper()}"
        rows.append(f"| `{', '.join(action.option_strings) or action.dest}{value}` | {action.help} |")
    return rows


PAGES = {"schemas.md": schemas, "magics.md": magics}


def stale() -> list[str]:
    """The pages that differ from what the code says."""
    return [name for name, make in PAGES.items() if not _same(HERE / name, make())]


def _same(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text() == text.rstrip() + "\n"


def main() -> int:
    old = stale()
    if "--check" not in sys.argv:
        for name in old:
            (HERE / name).write_text(PAGES[name]().rstrip() + "\n")
    print("\n".join(f"{name}: {'stale' if '--check' in sys.argv else 'written'}" for name in old) or "up to date")
    return 1 if old and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
