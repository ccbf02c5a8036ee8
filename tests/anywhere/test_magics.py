# SPDX-License-Identifier: MIT
"""The magics are thin: their options are the library's keywords, and what --code prints is what they do."""

from __future__ import annotations

import ast
import inspect
import textwrap

import pandas as pd
import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

from rtnb import errors
from rtnb.magics import RtnbMagics
from rtnb.magics.skins import LIBRARY
from rtnb.recording import Header, Recording

SHARED = {"help", "or_", "save", "output", "code"}
VIEWS = {"summary_only", "histogram", "json", "name"}
"""Options that choose what is shown or kept of the recording, not what is run."""
CELLS = {"source", "job", "namespace", "tasks"}
"""Keywords that are the cell itself, or come with it."""


@pytest.mark.parametrize("magic", LIBRARY)
def test_options_are_the_librarys_keywords(magic: str) -> None:
    parser = getattr(RtnbMagics, magic).parser
    options = {action.dest for action in parser._actions} - SHARED - VIEWS
    keywords = set(inspect.signature(LIBRARY[magic]).parameters) - CELLS - {"progress"}
    assert options == keywords


@pytest.mark.parametrize("magic", [*LIBRARY, "rtnb"])
def test_help_holds_options_and_an_example(magic: str) -> None:
    text = inspect.getdoc(getattr(RtnbMagics, magic)) or ""
    assert f"%{magic}" in text.replace("%%", "%")
    for action in getattr(RtnbMagics, magic).parser._actions:
        assert action.dest == "help" or action.help, f"%{magic} {action.dest} has no help"


@pytest.mark.parametrize("magic", [*LIBRARY, "rtnb"])
def test_a_body_is_at_most_15_lines_without_loop_open_or_system_call(magic: str) -> None:
    function = ast.parse(textwrap.dedent(inspect.getsource(getattr(RtnbMagics, magic)))).body[0]
    assert isinstance(function, ast.FunctionDef)
    body = function.body[1:]  # after the docstring
    assert body[-1].end_lineno - body[0].lineno < 15  # type: ignore[operator]
    assert not any(isinstance(node, ast.For | ast.While) for node in ast.walk(function))
    assert not {node.id for node in ast.walk(function) if isinstance(node, ast.Name)} & {"open", "os", "subprocess"}


def test_every_magic_answers_a_bad_option_in_one_line(shell: InteractiveShell) -> None:
    for magic in (*LIBRARY, "rtnb"):
        kind, body = ("cell", ["x"]) if magic in ("bpf", "taskset") else ("line", [])
        run = getattr(shell, f"run_{kind}_magic")
        with pytest.raises(UsageError, match=r"nonsense|required"):
            run(magic, "--nonsense", *body)


def test_an_error_is_shown_as_its_lines_and_no_traceback(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.run_cell("raise __import__('rtnb').errors.BadInput('event \\'x\\'', 'unknown', 'try task-clock')")
    shown = capsys.readouterr().out
    assert shown == "BadInput: event 'x': unknown\nhint: try task-clock\n"


def test_every_error_renders_in_three_lines_at_most() -> None:
    kinds = [v for v in vars(errors).values() if isinstance(v, type) and issubclass(v, errors.RtnbError)]
    assert len(kinds) == 11
    for kind in kinds:
        error = kind("what was tried", "what the kernel said", "what to do")
        assert error._render_traceback_() == [
            f"{kind.__name__}: what was tried: what the kernel said",
            "hint: what to do",
        ]


def test_a_summary_is_its_own_and_a_map_of_that_name_is_not() -> None:
    made = Recording(Header("bpf", ("cell",), "test"), {"summary": pd.DataFrame({"value": [1, 2, 3]})})
    summary = made.tables["summary"].rtnb.summary()
    assert list(summary["max"]) == [3]
    assert summary.rtnb.summary() is summary


def test_or_save_and_output(shell: InteractiveShell, tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plumbing that all magics share, on a library function that is refused or not, by argument."""
    magics = RtnbMagics(shell)
    header = Header("rt_task", (), "test")
    made = Recording(header, {"rows": pd.DataFrame({"a": [1, 2]})})

    def run(*, refuse: bool = False) -> Recording:
        if refuse:
            raise errors.NotPermitted("sched_setattr", "CAP_SYS_NICE is missing", "grant it")
        return made

    from rtnb.magics.arguments import parse
    from rtnb.magics.call import Call

    path = f"{tmp_path}/r"
    args = parse(magics.rt_task, f"--save {path} -o kept")
    assert list(magics._show(args, Call("rt_task", run))["a"]) == [1, 2]
    assert shell.user_ns["kept"] is made
    args = parse(magics.rt_task, f"--or {path} -o kept --save {path}-not")
    assert list(magics._show(args, Call("rt_task", run, refuse=True))["a"]) == [1, 2]
    assert "CAP_SYS_NICE is missing" in shell.user_ns["kept"].header.refused
    with pytest.raises(errors.BadRecording, match="there is no such folder"):  # a recording is not saved as live
        magics._show(parse(magics.rt_task, f"--or {path}-not"), Call("rt_task", run, refuse=True))
    magics.record = True  # make record: a refusal is an error, and --or names what is saved anew
    with pytest.raises(errors.NotPermitted):
        magics._show(parse(magics.rt_task, f"--or {path}"), Call("rt_task", run, refuse=True))
    magics._show(parse(magics.rt_task, f"--or {path}-new"), Call("rt_task", run))
    assert not magics._show(parse(magics.rt_task, f"--or {path}-new"), Call("rt_task", run)).empty


def test_option_values_may_name_a_variable_and_commands_are_to_the_letter(shell: InteractiveShell) -> None:
    shell.user_ns["name"] = "openat"
    from rtnb.magics.arguments import parse

    args = parse(RtnbMagics.strace, "-e {name} -- awk '{name} $1' \"a b\"")
    assert args.trace == "openat"
    assert args.command == ["--", "awk", "{name} $1", "a b"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("%strace -", "--trace"),
        ("%strace -e opena", "openat"),
        ("%strace -e read,opena", "openat"),
        ("%perf_stat -e page-f", "page-faults"),
        ("%rt_task --policy f", "fifo"),
        ("%rtnb d", "doctor"),
        ("%%taskset --policy e", "edf"),
    ],
)
def test_completion(shell: InteractiveShell, line: str, expected: str) -> None:
    with provisionalcompleter():
        assert expected in [found.text for found in shell.Completer.completions(line, len(line))]
