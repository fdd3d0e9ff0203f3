"""Small words for writing SCL with lxml: elements in the SCL name space, attributes in the order given."""

from __future__ import annotations

from lxml import etree

NS = "http://www.iec.ch/61850/2003/SCL"


def tag(name: str) -> str:
    """The element name in the SCL name space."""
    return f"{{{NS}}}{name}"


def element(name: str, /, **attributes: str | int) -> etree._Element:
    """A root element with the SCL name space as default."""
    node = etree.Element(tag(name), nsmap={None: NS})  # type: ignore[dict-item]  # the stubs forget the default
    _set(node, attributes)
    return node


def sub(parent: etree._Element, name: str, text: str | None = None, /, **attributes: str | int) -> etree._Element:
    """A child element; ``type_`` stands for the attribute ``type`` (likewise for other Python words)."""
    node = etree.SubElement(parent, tag(name))
    _set(node, attributes)
    node.text = text
    return node


def _set(node: etree._Element, attributes: dict[str, str | int]) -> None:
    for name, value in attributes.items():
        node.set(name.rstrip("_"), str(value))
