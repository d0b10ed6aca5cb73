"""Files in a question: what can be seen to be wrong with them before they are sent."""

import base64
import zlib
from typing import Any

import pytest

from sidecard.v1 import generation_pb2 as pb
from tests.support.decoding import decode, refused


def png(width: int = 1, height: int = 1) -> bytes:
    header = b"IHDR" + width.to_bytes(4) + height.to_bytes(4) + b"\x08\x06\x00\x00\x00"
    return b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0d" + header + zlib.crc32(header).to_bytes(4)


FRAME = b"\xff\xc0\x00\x11\x08\x00\x01\x00\x01\x03\x01\x22\x00\x02\x11\x01\x03\x11\x01"
APP0 = b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
JPEG = b"\xff\xd8" + APP0 + b"\xff" + FRAME + b"\xff\xd9"
GIF = b"GIF89a\x01\x00\x01\x00\x00\x00\x00;"
WEBP = b"RIFF\x1a\x00\x00\x00WEBPVP8L\x0d\x00\x00\x00\x2f\x00\x00\x00\x10\x07\x10\x11\x11\x88"
PDF = b"\n%PDF-1.7\n"
GOOD = [("image/png", png()), ("image/jpeg", JPEG), ("image/gif", GIF), ("image/webp", WEBP)]


def asking(block: dict[str, Any]) -> pb.GenerateRequest:
    return pb.GenerateRequest(messages=[{"role": "ROLE_USER", "content": [block]}])


def raw(kind: str, media_type: object, data: object) -> dict[str, Any]:
    return {"type": kind, "source": {"type": "base64", "media_type": media_type, "data": data}}


@pytest.mark.parametrize(("media_type", "data"), GOOD)
def test_pictures_become_base64(media_type: str, data: bytes) -> None:
    """Each format that the upstream takes passes, as bytes and in a raw block."""
    typed = asking({"image": {"data": data, "media_type": media_type}})
    block = raw("image", media_type, base64.b64encode(data).decode())
    expected = ({"role": "user", "content": [block]},)
    assert decode(typed).messages == expected
    assert decode(asking({"raw": block})).messages == expected


def test_documents_have_five_sources() -> None:
    """A document's source is what the upstream calls it, with title, context and citations."""
    inner = {"blocks": [{"text": {"text": "t"}}]}
    sources: list[dict[str, Any]] = [
        {"data": PDF},
        {"text": "t"},
        {"url": "https://a"},
        {"file_id": "f"},
        {"blocks": inner},
    ]
    found = [
        decode(asking({"document": {**source, "title": "T", "context": "C", "citations": True}}))
        for source in sources
    ]
    blocks = [call.messages[0]["content"][0] for call in found]
    assert [block["source"] for block in blocks] == [
        {"type": "base64", "media_type": "application/pdf", "data": base64.b64encode(PDF).decode()},
        {"type": "text", "media_type": "text/plain", "data": "t"},
        {"type": "url", "url": "https://a"},
        {"type": "file", "file_id": "f"},
        {"type": "content", "content": [{"type": "text", "text": "t"}]},
    ]
    rest = {"type": "document", "title": "T", "context": "C", "citations": {"enabled": True}}
    assert all({k: v for k, v in b.items() if k != "source"} == rest for b in blocks)


@pytest.mark.parametrize(
    ("media_type", "data", "phrase"),
    [
        ("image/png", b"", "is empty"),
        ("image/png", b"definitely no picture", "is no picture that is known"),
        ("image/png", JPEG, "seems to be image/jpeg"),
        ("image/jpeg", PDF[1:], "seems to be application/pdf"),
        ("image/png", png()[:30], "cut off"),
        ("image/png", png()[:-1] + b"\x00", "checksum"),
        ("image/png", png(width=0), "without any pixels"),
        ("image/jpeg", JPEG[:22], "cut off"),
        ("image/jpeg", JPEG[:28], "cut off"),
        ("image/jpeg", b"\xff\xd8\xff\xe0\x00\x04ab----", "longer than it says"),
        ("image/jpeg", b"\xff\xd8\xff\xd0\xff\xd9ab", "no frame header"),
        ("image/jpeg", b"\xff\xd8" + b"\xff" * 1_000_000, "doesn't come"),
        ("image/gif", GIF[:12], "cut off"),
        ("image/webp", WEBP[:20], "cut off"),
        ("image/webp", WEBP.replace(b"VP8L", b"EXIF"), "first chunk is no picture"),
    ],
)
def test_a_picture_that_is_none_is_refused(media_type: str, data: bytes, phrase: str) -> None:
    """What is wrong with the bytes is said of them, as bytes and in a raw block."""
    where = "messages[0].content[0]"
    typed = refused(asking({"image": {"data": data, "media_type": media_type}}))
    assert list(typed) == [f"{where}.image.data"]
    assert phrase in typed[f"{where}.image.data"]
    block = raw("image", media_type, base64.b64encode(data).decode())
    assert list(refused(asking({"raw": block}))) == [f"{where}.raw.source.data"]


@pytest.mark.parametrize(
    ("block", "field", "phrase"),
    [
        ({"image": {"data": png()}}, "image.media_type", "image/png, image/jpeg"),
        ({"image": {"data": png(), "media_type": "image/tiff"}}, "image.media_type", "image/tiff"),
        ({"image": {}}, "image", "has no source"),
        ({"image": {"url": "https://a\nb"}}, "image.url", "control characters"),
        ({"image": {"file_id": ""}}, "image.file_id", "is empty"),
        ({"document": {"data": b"no pdf"}}, "document.data", "%PDF-"),
        ({"document": {"data": PDF, "media_type": "a/b"}}, "document.media_type", "a/b"),
        ({"document": {"text": "t", "media_type": "text/plain"}}, "document.media_type", "only"),
        ({"document": {"text": ""}}, "document.text", "is empty"),
        ({"document": {"blocks": {}}}, "document.blocks", "has no blocks"),
        ({"document": {"blocks": {"blocks": [{}]}}}, "document.blocks.blocks[0]", "empty block"),
        ({"document": {}}, "document", "has no source"),
        ({"raw": raw("image", "image/png", "?")}, "raw.source.data", "not base64"),
        ({"raw": raw("image", "image/new", "YQ")}, "raw.source.data", "not base64"),
        ({"raw": raw("document", "application/pdf", 5)}, "raw.source.data", "not base64"),
        ({"raw": raw("document", "application/pdf", "YWJj")}, "raw.source.data", "%PDF-"),
    ],
)
def test_a_file_has_a_source_and_a_type(block: dict[str, Any], field: str, phrase: str) -> None:
    """A missing, contradictory or undecodable source is named by its own field."""
    found = refused(asking(block))
    assert list(found) == [f"messages[0].content[0].{field}"]
    assert phrase in found[f"messages[0].content[0].{field}"]


@pytest.mark.parametrize("media_type", ["image/new", [], None])
def test_what_is_not_known_passes(media_type: object) -> None:
    """A media type that this version doesn't know is left to the upstream."""
    block = raw("image", media_type, "YWJj")
    assert decode(asking({"raw": block})).messages[0]["content"] == [block]
