# SPDX-License-Identifier: MIT
"""How was the running kernel built? Its configuration, from wherever the kernel or the distribution keeps it."""

from __future__ import annotations

import errno
import functools
import gzip
import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path

__all__ = ["built", "kconfig"]


@functools.cache  # it is the running kernel's, and will not change
def kconfig() -> Mapping[str, str]:
    """How the running kernel was configured: option to value, without CONFIG_; what is off is not there.

    Raises OSError where none of its usual places has it.
    """
    release = platform.release()
    for path in ("/proc/config.gz", f"/boot/config-{release}", f"/lib/modules/{release}/config"):
        try:
            raw = Path(path).read_bytes()
        except OSError:
            continue
        text = (gzip.decompress(raw) if path.endswith(".gz") else raw).decode("utf-8", "replace")
        return dict(re.findall(r"^CONFIG_(\w+)=(.*)$", text, re.MULTILINE))
    raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), f"/proc/config.gz, /boot/config-{release}")


def built(option: str) -> str | None:
    """The value of CONFIG_ `option`: "y", "m", "n" where it is off, None where that cannot be read.

    >>> built("CONFIG_BPF")
    'y'
    """
    try:
        return kconfig().get(option.removeprefix("CONFIG_"), "n")
    except OSError:
        return None
