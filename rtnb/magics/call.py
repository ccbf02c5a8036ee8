# SPDX-License-Identifier: MIT
"""What does a magic do? One library call, which can be run, and printed as Python (`--code`)."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from rtnb.command import as_argv
from rtnb.recording import Recording

__all__ = ["Call"]


class Call:
    """A call of a library function that returns a Recording of a kind; arguments at their defaults are left out."""

    def __init__(self, kind: str, function: Callable[..., Recording], *args: Any, **keywords: Any) -> None:
        self.kind = kind
        defaults = {p.name: p.default for p in inspect.signature(function).parameters.values()}
        self.function = function
        self.args = args
        self.keywords = {name: value for name, value in keywords.items() if value != defaults[name]}

    @property
    def source(self) -> tuple[str, ...]:
        """What its header will name as source, where the first argument says it: a cell, or a command."""
        first = self.args[0] if self.args else None
        return (first,) if isinstance(first, str) else tuple(as_argv(first)) if first else ()

    def run(self, **more: Any) -> Recording:
        """Make the call; `more` are keywords that `--code` does not show, such as `progress`."""
        return self.function(*self.args, **self.keywords, **more)

    def code(self, fallback: str | None, save: str | None, shown: str = "recording.frame") -> str:
        """The Python that does the same, down to what is shown."""
        module = self.function.__module__.split(".")[1]
        words = [_literal(a) for a in self.args] + [
            f"{k}={_NAMED.get(k) or _literal(v)}" for k, v in self.keywords.items()
        ]
        call = f"rtnb.{module}.{self.function.__name__}({', '.join(words)})"
        if fallback:
            call = f"rtnb.live_or(lambda: {call}, {fallback!r})"
        lines = ["import rtnb", "", f"recording = {call}"]
        lines += [f"recording.save({save!r})"] if save else []
        return "\n".join([*lines, shown])


_NAMED = {"namespace": "globals()"}
"""Keywords whose value is a thing of the notebook's, which has a name there."""


def _literal(value: Any) -> str:
    """A cell as a triple-quoted string that reads as it was written; anything else as its repr."""
    if isinstance(value, str) and "\n" in value:
        body = value.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
        return f'"""\\\n{body}"""' if not body.endswith('"') else repr(value)
    return repr(value)
