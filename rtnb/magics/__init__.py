# SPDX-License-Identifier: MIT
"""The magics: thin skins over the library. `%load_ext rtnb` registers them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rtnb.magics.complete import complete
from rtnb.magics.skins import RtnbMagics
from rtnb.recording import renew

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["RtnbMagics", "register", "unregister"]


def register(shell: InteractiveShell) -> None:
    """Add the magics and their completion to a shell; a second time replaces the first."""
    unregister(shell)
    shell.register_magics(RtnbMagics)
    shell.Completer.custom_matchers.append(complete)


def unregister(shell: InteractiveShell) -> None:
    """Take the magics and their completion away again."""
    renew(False)
    for kind, names in RtnbMagics.magics.items():
        for name in names:
            shell.magics_manager.magics[kind].pop(name, None)
    shell.magics_manager.registry.pop("RtnbMagics", None)
    if complete in shell.Completer.custom_matchers:
        shell.Completer.custom_matchers.remove(complete)
