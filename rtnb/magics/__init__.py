# SPDX-License-Identifier: MIT
"""placeholder"""

from typing import Any


def register(shell: Any) -> None: ...
def unregister(shell: Any) -> None: ...
