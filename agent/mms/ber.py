"""Tag, length, value: the little of BER (X.690) that certificates and MMS need. Pure; what is malformed raises."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

DEPTH_MAX = 24


class BerError(ValueError):
    """These octets are not what they should be; the text says why."""


class Element(NamedTuple):
    """One element: its tag as the octets on the wire make an integer (``0x30``, ``0xBF48``), and its content."""

    tag: int
    content: bytes

    def parts(self) -> list[Element]:
        """Its content as elements."""
        return list(elements(self.content))

    def part(self, tag: int) -> Element:
        """The one part with this tag; BerError if there is none or more than one."""
        found = [part for part in elements(self.content) if part.tag == tag]
        if len(found) != 1:
            raise BerError(f"{len(found)} elements {tag:#x} in {self.tag:#x}, not one")
        return found[0]


def elements(data: bytes) -> Iterator[Element]:
    """All elements that the octets consist of, to the last octet."""
    offset = 0
    while offset < len(data):
        element, offset = take(data, offset)
        yield element


def whole(data: bytes) -> Element:
    """The one element that the octets are."""
    element, end = take(data, 0)
    if end != len(data):
        raise BerError(f"{len(data) - end} octets behind the element")
    return element


def take(data: bytes, offset: int) -> tuple[Element, int]:
    """The element at an offset, and where the next one begins. Indefinite lengths are refused."""
    try:
        tag = data[offset]
        offset += 1
        if tag & 0x1F == 0x1F:
            more = True
            while more:
                more = data[offset] >= 0x80
                tag = tag << 8 | data[offset]
                offset += 1
            if tag > 0xFFFFFF:
                raise BerError("a tag of more than three octets")
        size = data[offset]
        offset += 1
    except IndexError:
        raise BerError("cut off") from None
    if size >= 0x80:
        octets = size & 0x7F
        if not 1 <= octets <= 4 or offset + octets > len(data):
            raise BerError("length")
        size = int.from_bytes(data[offset : offset + octets])
        offset += octets
    if offset + size > len(data):
        raise BerError("cut off")
    return Element(tag, data[offset : offset + size]), offset + size


def inside(element: Element, depth: int = 0) -> Iterator[Element]:
    """The element and all that is in it, depth first."""
    if depth > DEPTH_MAX:
        raise BerError("nested too deep")
    yield element
    first = element.tag
    while first > 0xFF:
        first >>= 8
    if first & 0x20:
        for part in elements(element.content):
            yield from inside(part, depth + 1)


def check(element: Element) -> Element:
    """The element, all of which is elements, none too deep in others; BerError otherwise."""
    for _ in inside(element):
        pass
    return element


def integer(element: Element) -> int:
    """A signed integer of at most eight octets."""
    if not 1 <= len(element.content) <= 8:
        raise BerError("integer")
    return int.from_bytes(element.content, signed=True)


def encode(tag: int, content: bytes) -> bytes:
    """One element, with the shortest length."""
    head = tag.to_bytes((tag.bit_length() + 7) // 8 or 1)
    if len(content) < 0x80:
        return head + bytes([len(content)]) + content
    size = len(content).to_bytes((len(content).bit_length() + 7) // 8)
    return head + bytes([0x80 | len(size)]) + size + content


def encode_integer(tag: int, value: int) -> bytes:
    """A signed integer in as few octets as it takes."""
    return encode(tag, value.to_bytes(value.bit_length() // 8 + 1, signed=True))
