# SPDX-License-Identifier: MIT
"""What did another tool measure? Each reader makes a Recording of its results, in the tables of a run of our own."""

from __future__ import annotations

from rtnb.rt.readers.cyclictest import read_cyclictest, to_cyclictest, write_json
from rtnb.rt.readers.rtapp import read_rtapp
from rtnb.rt.readers.rtla import read_rtla

__all__ = ["read_cyclictest", "read_rtapp", "read_rtla", "to_cyclictest", "write_json"]
