# SPDX-License-Identifier: MIT
"""Where is the C core, and why is it not there? One executable, `rtnb-core`, with a subcommand a loop."""

from __future__ import annotations

import errno
from pathlib import Path

__all__ = ["path"]


def path() -> str:
    """The path of `rtnb-core`. Raises FileNotFoundError where the package was installed without it."""
    program = Path(__file__).with_name("rtnb-core")
    if not program.is_file():
        raise FileNotFoundError(errno.ENOENT, "rtnb was installed without its C core", str(program))
    return str(program)
