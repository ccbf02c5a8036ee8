# SPDX-License-Identifier: MIT
"""Is this the notebook's own kernel? A real-time task in it would starve what should stop it."""

from __future__ import annotations

import os
import sys

from rtnb.sched.spec import REAL_TIME, Spec

__all__ = ["would_starve"]


def would_starve(spec: Spec, tid: int) -> bool:
    """Would a thread of this process become real-time, and is the process a running Jupyter kernel?

    Looks into what is loaded, and loads nothing.
    """
    app = getattr(sys.modules.get("ipykernel.kernelapp"), "IPKernelApp", None)
    running = app is not None and app.initialized()
    return bool(running and spec.policy in (*REAL_TIME, "deadline") and os.path.exists(f"/proc/self/task/{tid}"))
