"""Have the C library keep the memory that is freed: chunk after chunk asks for as much again.

DuckDB reads each chunk into a buffer of some 30 MiB. glibc gives blocks that large back to the kernel at once, and the
kernel fills the next one with zeros, page by page, which takes longer than the copying.
Source: mallopt(3), malloc_trim(3); measured in docs/performance.md.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress

# <malloc.h>
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
# The largest that glibc takes: half of what one of its heaps may hold.
KEPT_BLOCK_BYTES = 32 << 20
_KEPT_BYTES = 1 << 30


def release_freed_memory() -> None:
    """Give back what was kept: what comes next asks other allocators for memory."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def keep_freed_memory() -> None:
    """Set it for this process; where the C library is not glibc nothing happens."""
    with suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, KEPT_BLOCK_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
