# SPDX-License-Identifier: MIT
"""How is the cell's own Python run? Compiled once, before anything is measured, in the user's namespace."""

from __future__ import annotations

import ast
import textwrap
from types import CodeType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["Cell"]


class Cell:
    """A cell's body, and its last expression apart, so that its value can be shown after the measurement."""

    def __init__(self, shell: InteractiveShell, source: str) -> None:
        self.source = source
        self._namespace = shell.user_ns
        transformed = shell.transform_cell(source)
        name = shell.compile.cache(transformed, shell.execution_count, raw_code=source)
        tree = shell.compile.ast_parse(transformed, filename=name)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        self._body: CodeType = compile(tree, name, "exec")
        self._last = compile(ast.Expression(last.value), name, "eval") if isinstance(last, ast.Expr) else None
        self.value: Any = None
        """The last expression's, as a notebook would show it."""
        self.error: BaseException | None = None
        """What ended it early: kept, so that what was measured by then is not lost."""

    def run(self) -> None:
        """Run it, to its end or its error."""
        __tracebackhide__ = True
        try:
            exec(self._body, self._namespace)
            if self._last:
                self.value = eval(self._last, self._namespace)
        except BaseException as e:  # noqa: BLE001 - also an interrupt and SystemExit, which are the cell's own
            self.error = e

    def code(self, opening: str) -> str:
        """The cell's source as the body of a `with` statement."""
        return f"{opening}\n{textwrap.indent(self.source.rstrip() or 'pass', '    ')}"
