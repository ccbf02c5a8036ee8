# SPDX-License-Identifier: MIT
"""How are the recordings in data/ made? By running the notebooks live, with `--or PATH` saving PATH anew."""

from __future__ import annotations

from pathlib import Path

__all__ = ["record"]


def record(notebook: Path) -> None:
    """Run a notebook live in its folder, save every recording that it names, and store its outputs.

    Raises nbclient's CellExecutionError where a cell fails: here a refusal is an error, never a fallback.
    """
    import nbformat
    from nbclient import NotebookClient

    book = nbformat.read(notebook, as_version=4)
    resources = {"metadata": {"path": str(notebook.parent)}}
    client = NotebookClient(book, timeout=120, resources=resources, extra_arguments=["--RtnbMagics.record=True"])
    client.execute()
    for cell in book.cells:
        cell.metadata.pop("execution", None)  # when each cell ran: noise in every diff
    book.metadata.pop("widgets", None)
    nbformat.write(book, notebook)
