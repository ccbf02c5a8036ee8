# SPDX-License-Identifier: MIT
"""How does a magic read its line? As an argv with the classic tools' options, split as a shell would.

The values of options may name a Python variable (`-p {child.pid}`); the command after them is taken to the
letter, so that `%strace awk '{print $1}' f` runs just that.
"""

from __future__ import annotations

import argparse
import keyword
import shlex
from collections.abc import Callable
from typing import Any

from IPython.core.error import UsageError
from IPython.core.getipython import get_ipython
from IPython.core.magic_arguments import argument

from rtnb.errors import closest

__all__ = ["command", "parse", "recorded", "variable", "whole", "word"]

Magic = Callable[..., Any]


def word(text: str) -> str:
    """An option's value, `{expression}` and `$name` expanded as in any IPython line."""
    shell = get_ipython()
    return str(shell.var_expand(text)) if shell and ("{" in text or "$" in text) else text


def whole(text: str) -> int:
    """An option's value as a whole number."""
    try:
        return int(word(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None


def variable(text: str) -> str:
    """A name that a variable can have; not a file's, which strace's own -o would take."""
    if not text.isidentifier() or keyword.iskeyword(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a variable's name; --save PATH keeps the recording on disk")
    return text


def parse(magic: Magic, line: str) -> argparse.Namespace:
    """The options of a magic's line. Raises UsageError, which IPython shows as one line."""
    parser: argparse.ArgumentParser = magic.parser  # type: ignore[attr-defined]
    parser.allow_abbrev = False
    try:
        return parser.parse_args(shlex.split(line))
    except ValueError as e:
        raise UsageError(f"{line!r} cannot be split into words ({e}): close the quotes") from None
    except UsageError as e:
        raise UsageError(f"{e}; {_meant(parser, str(e)) or f'%{magic.__name__}? shows the options'}") from None


def _meant(parser: argparse.ArgumentParser, said: str) -> str:
    """The option nearest to the one that argparse did not know, in a sentence."""
    unknown = said.partition("unrecognized arguments:")[2].split()
    return closest(unknown[0], parser._option_string_actions) if unknown else ""


def command(magic: Magic) -> Magic:
    """The command and its arguments: everything from the first word that is no option."""
    text = "the command and its arguments, to the letter; -- may stand before it"
    decorated: Magic = argument("command", nargs=argparse.REMAINDER, help=text)(magic)
    return decorated


def recorded(magic: Magic) -> Magic:
    """The options that every magic which makes a recording has."""
    options = [
        argument("--or", dest="or_", metavar="PATH", type=word, help="load PATH where the live run is refused"),
        argument("--save", metavar="PATH", type=word, help="save the recording as the folder PATH"),
        argument("-o", "--output", metavar="NAME", type=variable, help="bind the whole Recording to the variable NAME"),
        argument("--code", action="store_true", help="print the equivalent Python and run nothing"),
    ]
    for option in reversed(options):
        magic = option(magic)
    return magic
