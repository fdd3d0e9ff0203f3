"""File services of MMS (ISO 9506-2 annex D) as IEC 61850-8-1 uses them: requests and what answers say. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, NamedTuple

from agent.mms import ber
from agent.mms.ber import Element, encode, encode_integer

NAME: Final = 0x19
"""GraphicString, of which a FileName is a sequence; servers take the whole path as one."""


class FileEntry(NamedTuple):
    """A file as a directory tells of it."""

    name: str
    size: int
    modified: datetime | None


class Opened(NamedTuple):
    """A file that is open on the server."""

    handle: int
    size: int


def _name(path: str) -> bytes:
    return encode(NAME, path.encode("utf-8"))


def open_request(path: str, position: int = 0) -> bytes:
    """FileOpen."""
    return encode(0xBF48, encode(0xA0, _name(path)) + encode_integer(0x81, position))


def read_request(handle: int) -> bytes:
    """FileRead: the next piece."""
    return encode_integer(0x9F49, handle)


def close_request(handle: int) -> bytes:
    """FileClose."""
    return encode_integer(0x9F4A, handle)


def directory_request(path: str = "", after: str = "") -> bytes:
    """FileDirectory of a folder; ``after``: the last name of the page before."""
    content = encode(0xA0, _name(path)) if path else b""
    if after:
        content += encode(0xA1, _name(after))
    return encode(0xBF4D, content)


def opened(content: bytes) -> Opened:
    """Of FileOpen; BerError."""
    answer = Element(0, content)
    handle, size, _ = _attributes(answer, 0x80, 0xA1)
    return Opened(handle, size)


def _attributes(answer: Element, first: int, second: int) -> tuple[int, int, datetime | None]:
    """Handle (0 where ``first`` is none), size and time of change."""
    handle = ber.integer(answer.part(first)) if first else 0
    attributes = answer.part(second)
    size = int.from_bytes(attributes.part(0x80).content)
    times = [part for part in attributes.parts() if part.tag == 0x81]
    return handle, size, _time(times[0].content) if times else None


def piece(content: bytes) -> tuple[bytes, bool]:
    """Of FileRead: octets, and whether more follow; BerError."""
    data, more = b"", True
    for part in ber.elements(content):
        if part.tag == 0x80:
            data = part.content
        elif part.tag == 0x81:
            more = part.content != b"\x00"
    return data, more


def directory(content: bytes) -> tuple[list[FileEntry], bool]:
    """Of FileDirectory: entries, and whether more follow; BerError."""
    entries: list[FileEntry] = []
    more = False
    for part in ber.elements(content):
        if part.tag == 0xA0:
            for listed in part.parts():
                for entry in [listed] if listed.tag == 0x30 and _is_entry(listed) else listed.parts():
                    _, size, modified = _attributes(entry, 0, 0xA1)
                    entries.append(FileEntry(_path(entry.part(0xA0)), size, modified))
        elif part.tag == 0x81:
            more = part.content != b"\x00"
    return entries, more


def _is_entry(element: Element) -> bool:
    """Whether this is a DirectoryEntry; some servers put the list into one more sequence."""
    tags = [part.tag for part in element.parts()]
    return 0xA1 in tags


def _path(element: Element) -> str:
    return "/".join(part.content.decode("utf-8", "replace") for part in element.parts())


def _time(content: bytes) -> datetime | None:
    """GeneralizedTime; None for what is none."""
    text = content.decode("ascii", "replace").rstrip("Z")
    for form in ("%Y%m%d%H%M%S.%f", "%Y%m%d%H%M%S"):
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    return None
