# SPDX-License-Identifier: MIT
"""signal.h: how is a SIGINT kept from coming between a call and the line that notes what the call has made?

Python raises KeyboardInterrupt as soon as the call is over, before its result is assigned: a descriptor, or a
program that is attached, is then nobody's, and no `finally` can close it.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["HEADERS", "held", "noted"]

HEADERS = ("signal.h",)

SIGINT = int(signal.SIGINT)


@contextmanager
def noted() -> Iterator[list[FrameType | None]]:
    """Note an interrupt in the list instead of raising it. An ignored one stays ignored, for a child inherits that.

    Only the main thread is interrupted: elsewhere this does nothing. Blocks may nest.
    """
    came: list[FrameType | None] = []
    before = signal.getsignal(SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield came
        return
    signal.signal(SIGINT, lambda _, frame: came.append(frame))
    try:
        yield came
    finally:
        signal.signal(SIGINT, before)


@contextmanager
def held() -> Iterator[None]:
    """Keep an interrupt back until the block ends; what it would have done, it does then.

    As a decorator, `@held()`, it does so for a function.

    >>> with held():
    ...     fd = os.open("/", os.O_PATH)  # doctest: +SKIP
    ...     opened.callback(os.close, fd)
    """
    came: list[FrameType | None] = []
    try:
        with noted() as came:
            yield
    finally:
        handler = signal.getsignal(SIGINT)
        if came and callable(handler):
            handler(SIGINT, came[-1])
