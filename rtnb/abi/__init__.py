# SPDX-License-Identifier: MIT
"""The kernel's interfaces, one module a uapi header: names verbatim, no policy, OSError only."""
