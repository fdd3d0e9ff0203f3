"""Reading SCL from outside: XML is untrusted.

No document type (so no entities and no bombs), no network, no include, at most :data:`SIZE_MAX` bytes and libxml2's
depth limit of 256; only encodings in which ASCII means ASCII, and UTF-16 with a byte order mark. What is refused is
refused with a :class:`~scl.problem.SclError` that says why.
"""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from typing import cast

from lxml import etree

from scl.elements import NS, tag
from scl.problem import Problem, SclError, Severity

SIZE_MAX = 64 << 20
SAFE_ENCODINGS = re.compile(r"(utf-?8|us-ascii|ascii|iso-?8859-?\d{1,2}|latin-?1|windows-125\d|cp125\d)", re.IGNORECASE)
_PROLOG = re.compile(rb"(?:\s+|<\?.*?\?>|<!--.*?-->)*", re.DOTALL)
_DECLARATION = re.compile(rb"\s*<\?xml[^>]*?encoding\s*=\s*[\"']([A-Za-z0-9._-]+)[\"'][^>]*\?>")
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def parse(path: str | Path, size_max: int = SIZE_MAX) -> etree._Element:
    """The root element ``SCL`` of a file; SclError if there is none to be had safely."""
    data = _bytes(Path(path), size_max)
    return parse_bytes(data, path)


def parse_bytes(data: bytes, path: str | Path = "<bytes>") -> etree._Element:
    """The root element of a document that is already in memory (its size is the caller's affair)."""
    data = _as_ascii_compatible(data, path)
    start = _PROLOG.match(data)
    if start is not None and data[start.end() : start.end() + 9].upper() == b"<!DOCTYPE":
        line = data.count(b"\n", 0, start.end()) + 1
        raise _error(path, line, "doctype", "a document type declaration is not accepted (entities are refused)")
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False, attribute_defaults=False,
        huge_tree=False, recover=False, remove_comments=True, remove_pis=True, collect_ids=False,
    )  # fmt: skip
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        line = error.lineno or 0
        raise _error(path, line, "not-xml", f"not well-formed XML: {_sentence(error)}") from error
    except (ValueError, LookupError) as error:
        raise _error(path, 0, "not-xml", f"not well-formed XML: {error}") from error
    if root.getroottree().docinfo.internalDTD is not None:
        raise _error(path, 1, "doctype", "a document type declaration is not accepted (entities are refused)")
    if root.tag != tag("SCL"):
        found = str(root.tag)
        reason = f"the root element is {found}" if not found.endswith("SCL") else f"its name space is not {NS}"
        raise _error(path, cast("int | None", root.sourceline) or 1, "not-scl", f"not an SCL file: {reason}")
    return root


def _bytes(path: Path, size_max: int) -> bytes:
    try:
        if not path.is_file():
            # A device or a pipe would never end.
            raise _error(path, 0, "unreadable", "no such file" if not path.exists() else "not a regular file")
        with path.open("rb") as file:
            data = file.read(size_max + 1)
    except OSError as error:
        raise _error(path, 0, "unreadable", f"cannot read: {error.strerror or error}") from error
    if len(data) > size_max:
        raise _error(path, 0, "too-large", f"larger than {size_max} bytes")
    if not data.strip():
        raise _error(path, 1, "not-xml", "the file is empty")
    return data


def _as_ascii_compatible(data: bytes, path: str | Path) -> bytes:
    if data[:2] in _UTF16:
        try:
            text = data.decode("utf-16")
        except UnicodeDecodeError as error:
            raise _error(path, 1, "not-xml", f"not UTF-16: {error.reason}") from error
        return re.sub(r"^\s*<\?xml[^>]*\?>", "", text, count=1).encode("utf-8")
    if b"\x00" in data[:64]:
        raise _error(path, 1, "not-xml", "not XML: binary data")
    declaration = _DECLARATION.match(data.removeprefix(codecs.BOM_UTF8)[:400])
    if declaration is not None and not SAFE_ENCODINGS.fullmatch(declaration[1].decode("ascii")):
        raise _error(path, 1, "encoding", f"encoding {declaration[1].decode('ascii')} is not accepted")
    return data.removeprefix(codecs.BOM_UTF8)


def _sentence(error: etree.XMLSyntaxError) -> str:
    return str(error.msg or error).split(", line ")[0]


def _error(path: str | Path, line: int, code: str, message: str) -> SclError:
    return SclError(path, [Problem(line, Severity.ERROR, code, message)])
