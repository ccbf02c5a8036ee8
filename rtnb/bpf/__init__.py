# SPDX-License-Identifier: MIT
"""What happens in the kernel where a program of one's own is attached? C in, a frame per map and ring buffer out.

recording = rtnb.bpf.run(source, command="ls")      all in one: what the magic %%bpf calls

compiled = rtnb.bpf.compile(source)                 C to a BPF object, on any machine with the kernel's types
with rtnb.bpf.load(compiled) as program:            in the kernel, until the block ends
    program.attach()
    program.rings["events"].drain()
"""

from __future__ import annotations

from rtnb.bpf.cell import run
from rtnb.bpf.compiler import Compiled, compile
from rtnb.bpf.maps import Map
from rtnb.bpf.program import Program, load
from rtnb.bpf.ring import Ring
from rtnb.bpf.summary import ColumnSummary, summary

__all__ = ["ColumnSummary", "Compiled", "Map", "Program", "Ring", "compile", "load", "run", "summary"]
