"""How many tokens an image in a prompt is.

Source of the rule: OpenAI's guide "Images and vision", "Calculating costs": an image is scaled to fit 2,048 x 2,048,
then so that its shorter side is at most 768; each tile of 512 x 512 that it needs costs, and so does the image itself.
"""

from __future__ import annotations

import base64
import binascii
from fractions import Fraction
from math import ceil

# Beginning of the model's name -> tokens of an image, and of each tile; the longest beginning counts. Models that count
# patches instead of tiles are not here.
TILES: dict[str, tuple[int, int] | None] = {
    "gpt-4o-mini": (2833, 5667),
    "gpt-4o": (85, 170),
    "chatgpt-4o": (85, 170),
    "gpt-4.1": (85, 170),
    "gpt-4.1-mini": None,
    "gpt-4.1-nano": None,
    "gpt-4.5": (85, 170),
    "gpt-4-turbo": (85, 170),
}
_FIT, _SHORTER, _TILE = 2048, 768, 512
# JPEG's frame headers, which hold its size.
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}


def image_tokens(model: str, url: object, detail: object) -> int | None:
    """The tokens of an image; None where they cannot be known from the log.

    Args:
        model: the served model.
        url: a `data:` URL; of an image elsewhere only `low` detail tells.
        detail: `low`, `high` or `auto`, which is taken as high.

    >>> image_tokens("gpt-4o-2024-08-06", "https://example.com/cat.png", "low")
    85
    """
    found = max((name for name in TILES if model.startswith(name)), key=len, default=None)
    costs = TILES[found] if found else None
    if costs is None or not isinstance(url, str) or detail not in (None, "low", "high", "auto"):
        return None
    if detail == "low":
        return costs[0]
    size = size_of(url)
    return costs[0] + tiles(*size) * costs[1] if size else None


def tiles(width: int, height: int) -> int:
    """How many tiles an image needs after it is scaled down.

    >>> tiles(1024, 1024), tiles(2048, 4096), tiles(512, 512)
    (4, 6, 1)
    """
    scale = min(Fraction(1), Fraction(_FIT, max(width, height)))
    scale = min(scale, Fraction(_SHORTER, min(width, height)))
    return ceil(width * scale / _TILE) * ceil(height * scale / _TILE)


def size_of(url: str) -> tuple[int, int] | None:
    """Width and height of the image in a `data:` URL; None where it is elsewhere or cannot be read."""
    head, _, content = url.partition(",")
    if not head.startswith("data:") or not head.endswith(";base64"):
        return None
    try:
        data = base64.b64decode(content)
    except (binascii.Error, ValueError):
        return None
    size = _png(data) or _gif(data) or _webp(data) or _jpeg(data)
    return size if size and all(size) else None


def _number(data: bytes, at: int, length: int, order: str = "big") -> int:
    return int.from_bytes(data[at : at + length], "little" if order == "little" else "big")


def _png(data: bytes) -> tuple[int, int] | None:
    return (_number(data, 16, 4), _number(data, 20, 4)) if data[:8] == b"\x89PNG\r\n\x1a\n" else None


def _gif(data: bytes) -> tuple[int, int] | None:
    is_gif = data[:6] in (b"GIF87a", b"GIF89a")
    return (_number(data, 6, 2, "little"), _number(data, 8, 2, "little")) if is_gif else None


def _webp(data: bytes) -> tuple[int, int] | None:
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        return None
    if data[12:16] == b"VP8X":
        return _number(data, 24, 3, "little") + 1, _number(data, 27, 3, "little") + 1
    if data[12:16] == b"VP8L":
        bits = _number(data, 21, 4, "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return _number(data, 26, 2, "little") & 0x3FFF, _number(data, 28, 2, "little") & 0x3FFF


def _jpeg(data: bytes) -> tuple[int, int] | None:
    at = 2
    while data[:2] == b"\xff\xd8" and at + 9 <= len(data) and data[at] == 0xFF:
        if data[at + 1] in _FRAMES:
            return _number(data, at + 7, 2), _number(data, at + 5, 2)
        at += 2 + max(2, _number(data, at + 2, 2))
    return None
