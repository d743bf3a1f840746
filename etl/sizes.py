"""Numbers of bytes as people write them."""

from __future__ import annotations

import re

_BYTES_IN = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_BYTES_IN |= {"KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40}
_SIZE = re.compile(r"(\d{1,15})\s*([A-Za-z]*)", re.ASCII)


def size_in_bytes(text: str) -> int:
    """A size such as 500MB (powers of ten), 2GiB (powers of two) or 1048576, in bytes.

    Raises:
        ValueError: it is none, or 0.

    >>> size_in_bytes("20GB"), size_in_bytes("2 KiB"), size_in_bytes("7")
    (20000000000, 2048, 7)
    """
    match = _SIZE.fullmatch(text.strip())
    if not match or match[2].upper() not in _BYTES_IN or not int(match[1]):
        raise ValueError(text)
    return int(match[1]) * _BYTES_IN[match[2].upper()]
