# SPDX-License-Identifier: MIT
"""Build `rtnb-core`: a hook of the build backend, and a script (`python rtnb/_core/build.py`).

The core is optional: without a compiler, or not on Linux, the package is built without it and says so.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).parent
FLAGS = ["-std=c17", "-O2", "-g", "-Wall", "-Wextra", "-D_GNU_SOURCE", "-fstack-protector-strong"]


def build() -> str:
    """Compile every .c file here into one executable; returns why not, or an empty string."""
    program, fresh = HERE / "rtnb-core", HERE / "rtnb-core.new"
    if why := _compile(fresh):
        program.unlink(missing_ok=True)  # it would not be that of these sources
        return why
    fresh.replace(program)  # whoever starts one meanwhile has the one or the other
    return ""


def _compile(program: Path) -> str:
    if platform.system() != "Linux":
        return "not Linux"
    argv = compiler()
    if not argv:
        return "no C compiler (Debian: apt-get install gcc libc6-dev; anywhere: pip install ziglang)"
    sources = sorted(str(source) for source in HERE.glob("*.c"))
    done = subprocess.run([*argv, *FLAGS, "-o", program, *sources], capture_output=True, text=True)
    return f"the compiler failed:\n{done.stderr}" if done.returncode else ""


def compiler() -> list[str]:
    """CC where it is set, and nothing else then; else the system's; else the one in the ziglang package."""
    for name in [os.environ["CC"]] if "CC" in os.environ else ["cc", "gcc", "clang"]:
        words = shlex.split(name)
        if words and shutil.which(words[0]):
            return words
    zig = "CC" not in os.environ and find_spec("ziglang")
    return [sys.executable, "-m", "ziglang", "cc"] if zig else []


def main() -> None:
    if why := build():
        print(f"rtnb: built without its C core: {why}", file=sys.stderr)


try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run as a script, outside the build backend
    pass
else:

    class CoreBuildHook(BuildHookInterface):  # type: ignore[type-arg]
        """The wheel is of this platform where the core was built, and pure Python where it was not."""

        def initialize(self, version: str, build_data: dict[str, object]) -> None:
            if self.target_name != "wheel":
                return
            if why := build():
                self.app.display_warning(f"rtnb: built without its C core: {why}")
            else:
                build_data["pure_python"] = False
                arch = platform.machine()
                build_data["tag"] = f"py3-none-linux_{arch}"


if __name__ == "__main__":
    main()
