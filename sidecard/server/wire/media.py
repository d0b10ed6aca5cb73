"""Files in a question: whether their bytes are what their media type says, by the first of them.

Enough to catch a wrong type, text where a picture should be and a file that was cut off early;
whether every pixel decodes is found out upstream.
"""

import zlib
from collections.abc import Callable, Mapping
from typing import Final

PDF: Final = "application/pdf"

_SEGMENTS: Final = 4_096  # before the frame header; fill bytes count, so that no file takes long
_CUT_OFF: Final = "is cut off before the picture's size"
_PDF_HEADER_BYTES: Final = 1024  # ISO 32000-1, implementation note 13: the header is in there


def fault(data: bytes, media_type: str) -> str | None:
    """Return what is wrong with a file of a known media type, None when nothing is."""
    if not data:
        return "is empty; send the file's bytes"
    if media_type == PDF:
        whole = b"%PDF-" in data[:_PDF_HEADER_BYTES]
        return None if whole else "is no PDF: its header %PDF- is missing"
    actual = _sniff(data)
    if actual != media_type:
        seems = f"seems to be {actual}" if actual else "is no picture that is known here"
        return f"is no {media_type}: it {seems}"
    return IMAGES[media_type](data)


def _sniff(data: bytes) -> str:
    """Return the media type that the first bytes speak of, "" for none."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "image/webp"
    return PDF if data.startswith(b"%PDF-") else ""


def _png(data: bytes) -> str | None:
    if len(data) < 33:  # noqa: PLR2004  # the signature and a whole IHDR, PNG 11.2.1
        return _CUT_OFF
    header, checksum = data[12:29], int.from_bytes(data[29:33])
    if not header.startswith(b"IHDR") or zlib.crc32(header) != checksum:
        return "is a damaged PNG: its header's checksum is wrong"
    return None if any(header[4:8]) and any(header[8:12]) else "is a PNG without any pixels"


def _gif(data: bytes) -> str | None:
    return None if len(data) >= 13 else _CUT_OFF  # noqa: PLR2004  # with the screen descriptor


def _webp(data: bytes) -> str | None:
    if len(data) < 25:  # noqa: PLR2004  # up to the size, in the shortest of the three formats
        return _CUT_OFF
    known = data[12:16] in (b"VP8 ", b"VP8L", b"VP8X")
    return None if known else "is a damaged WebP: its first chunk is no picture"


def _jpeg(data: bytes) -> str | None:
    """Walk the segments to the frame header, which has the size (ITU-T T.81, B.1 and B.2)."""
    at = 2
    for _ in range(_SEGMENTS):
        if at + 4 > len(data):
            return _CUT_OFF
        if data[at] != 0xFF:  # noqa: PLR2004  # every marker starts so
            return "is a damaged JPEG: a segment is longer than it says"
        marker = data[at + 1]
        if marker == 0xFF:  # noqa: PLR2004  # fill byte
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # noqa: PLR2004
            return None if at + 9 <= len(data) else _CUT_OFF
        elif marker in (0xD9, 0xDA):
            return "is a damaged JPEG: it has no frame header"
        elif marker == 0x01 or 0xD0 <= marker <= 0xD7:  # noqa: PLR2004  # markers without length
            at += 2
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4])
    return "is a damaged JPEG: its frame header doesn't come"


IMAGES: Final[Mapping[str, Callable[[bytes], str | None]]] = {
    "image/png": _png,
    "image/jpeg": _jpeg,
    "image/gif": _gif,
    "image/webp": _webp,
}
