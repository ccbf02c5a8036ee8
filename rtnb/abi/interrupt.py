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

__all__ = ["HEADERS", "held"]

HEADERS = ("signal.h",)

SIGINT = int(signal.SIGINT)


@contextmanager
def held() -> Iterator[None]:
    """Keep an interrupt back until the block ends; what it would have done, it does then. Blocks may nest.

    As a decorator, `@held()`, it does so for a function.

    Only the main thread is interrupted: elsewhere, and where SIGINT is ignored, this does nothing.

    >>> with held():
    ...     fd = os.open("/", os.O_PATH)  # doctest: +SKIP
    ...     opened.callback(os.close, fd)
    """
    before = signal.getsignal(SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    came: list[FrameType | None] = []
    signal.signal(SIGINT, lambda _, frame: came.append(frame))
    try:
        yield
    finally:
        signal.signal(SIGINT, before)
        if came:
            before(SIGINT, came[-1])
