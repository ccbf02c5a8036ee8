# SPDX-License-Identifier: MIT
"""Imports point down, and `import rtnb` needs neither a notebook nor a picture."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import rtnb

ROOT = Path(rtnb.__file__).parent

# A layer may import those after it in this list, and nothing in its own row but itself.
LAYERS = [
    {"__init__", "__main__", "accessor", "magics", "teach"},
    {"widgets"},
    {"plots"},
    {"lives"},
    {"rt", "theory", "strace", "perf", "bpf", "storage"},
    {"sched"},
    {"command", "recording", "caps", "journal"},
    {"schema", "units", "text", "progress"},
    {"abi", "_core"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
SAME_ROW = {("__init__", "accessor"), ("__main__", "magics")}
"""The entrances."""


def _imports(tree: ast.AST) -> set[str]:
    """The parts of rtnb that a module imports, at any depth of it."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "rtnb":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rtnb."):
            found.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("rtnb.")}
    return found


MODULES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module: str) -> None:
    part = module.split("/")[0].removesuffix(".py")
    if part == "errors":
        assert _imports(ast.parse((ROOT / module).read_text())) <= {"text"}
        return
    for target in _imports(ast.parse((ROOT / module).read_text())) - {part}:
        if part == "__init__" or (part, target) in SAME_ROW or target == "__version__":
            continue
        if target == "errors":
            assert part != "abi", "abi raises OSError only"
            continue
        assert LEVEL[target] > LEVEL[part], f"{module} imports rtnb.{target}, which is not below it"


def test_abi_imports_the_standard_library_only() -> None:
    for path in (ROOT / "abi").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                top = name.split(".")[0]
                assert top in sys.stdlib_module_names or name.startswith("rtnb"), f"{path.name} imports {name}"


def test_import_needs_no_notebook_and_touches_no_kernel_interface() -> None:
    """With IPython, ipywidgets and plotly blocked, and every open() of /proc and /sys by rtnb counted."""
    program = """
import sys
for name in ("IPython", "ipywidgets", "plotly", "tqdm", "traitlets"):
    sys.modules[name] = None
import numpy, pandas
opened = []
sys.addaudithook(lambda event, args: event == "open" and str(args[0]).startswith(("/proc", "/sys")) and
                 opened.append(args[0]))
import rtnb
print(opened, sorted(m for m in sys.modules if m.startswith("rtnb.magics")))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[] []\n", "")


def test_every_name_in_all_exists_and_is_documented() -> None:
    for module in MODULES:
        if module.startswith("_core/build"):
            continue
        name = "rtnb." + module.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        name = "rtnb" if name == "rtnb.__init__" else name
        loaded = __import__(name, fromlist=["_"])
        assert (loaded.__doc__ or "").strip(), f"{name} has no docstring"
        for public in getattr(loaded, "__all__", []):
            thing = getattr(loaded, public)
            if callable(thing) and getattr(thing, "__module__", "").startswith("rtnb"):
                assert (thing.__doc__ or "").strip(), f"{name}.{public} has no docstring"
