# SPDX-License-Identifier: MIT
"""What can follow? Completion of options, and of the names that `-e` takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher

from rtnb import perf
from rtnb.abi import syscall

__all__ = ["complete"]

NAMES: dict[tuple[str, str], Callable[[], Iterable[str]]] = {
    ("strace", "-e"): lambda: syscall.NUMBERS,
    ("strace", "--trace"): lambda: syscall.NUMBERS,
    ("perf_stat", "-e"): lambda: perf.EVENTS,
    ("perf_stat", "--event"): lambda: perf.EVENTS,
    ("rt_task", "--policy"): lambda: ("fifo", "rr", "other", "batch", "idle"),
    ("taskset", "--policy"): lambda: ("fp", "rm", "dm", "edf"),
    ("taskset", "--protocol"): lambda: ("none", "pip", "pcp", "icpp", "npp"),
    ("rtnb", ""): lambda: ("doctor", "undo"),
    ("sched", "--set"): lambda: ("other", "fifo", "rr", "batch", "idle", "deadline"),
}
"""The words that may follow a magic's option; "" stands for its first argument."""


@context_matcher()
def complete(context: CompletionContext) -> SimpleMatcherResult:
    """Options after a dash; names after the option that takes them; nothing elsewhere."""
    words = context.line_with_cursor[: context.cursor_position].split()
    magic = words[0].lstrip("%") if words and words[0].startswith("%") else ""
    token = context.token
    previous = words[-2] if token and len(words) > 1 else (words[-1] if len(words) > 1 else "")
    found: Iterable[str] = ()
    if token.startswith("-"):
        found = _options(magic)
    elif (magic, previous) in NAMES:
        found = NAMES[magic, previous]()
    elif previous in ("", f"%{magic}"):
        found = NAMES.get((magic, ""), lambda: ())()
    last = token.rsplit(",", 1)[-1]
    matches = [SimpleCompletion(name) for name in sorted(found) if name.startswith(last)]
    return SimpleMatcherResult(completions=matches, matched_fragment=last, suppress=bool(matches))


def _options(magic: str) -> list[str]:
    from rtnb.magics.skins import RtnbMagics

    parser = getattr(getattr(RtnbMagics, magic, None), "parser", None)
    return [option for action in parser._actions for option in action.option_strings] if parser else []
