"""YAML read strictly: every value is taken by name and type, every leftover is an unknown key, with line numbers.

The node tree of PyYAML's safe loader is walked as it is (no object is constructed, no tag honoured), so line numbers
are known, duplicate keys are seen and ``no`` or ``1e3`` mean what the asked-for type says. Findings are collected; the
caller raises them together with :meth:`Document.finish`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import yaml

from scl.problem import Problem, SclError, Severity

SIZE_MAX = 4 << 20
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,54}")
"""Names become parts of IED names (IEC 61850-6: letters, digits, underscore, at most 64 characters with our suffix)."""

E = TypeVar("E", bound=StrEnum)


class Document:
    """One YAML file and what was found wrong in it."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.problems: list[Problem] = []

    def add(self, line: int, code: str, message: str) -> None:
        """Note an error at a line."""
        self.problems.append(Problem(line, Severity.ERROR, code, message))

    def root(self) -> Block:
        """The top mapping; raises SclError where the file is not a YAML mapping at all."""
        try:
            with self.path.open("rb") as file:
                data = file.read(SIZE_MAX + 1)
        except OSError as error:
            raise self._fatal(0, "unreadable", f"cannot read: {error.strerror}") from error
        if len(data) > SIZE_MAX:
            raise self._fatal(0, "too-large", f"larger than {SIZE_MAX} bytes")
        try:
            node = yaml.compose(data, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 0
            raise self._fatal(line, "not-yaml", f"not YAML: {error.problem}") from error
        except (yaml.YAMLError, ValueError) as error:
            raise self._fatal(0, "not-yaml", f"not YAML: {error}") from error
        except RecursionError as error:
            raise self._fatal(0, "too-deep", "nested too deeply") from error
        if not isinstance(node, yaml.MappingNode):
            raise self._fatal(1, "not-a-mapping", "the file must be a mapping of keys")
        return Block(self, "", node)

    def finish(self) -> None:
        """Raise SclError if anything was found."""
        if self.problems:
            raise SclError(self.path, sorted(self.problems))

    def _fatal(self, line: int, code: str, message: str) -> SclError:
        return SclError(self.path, [Problem(line, Severity.ERROR, code, message)])


class Block:
    """One mapping whose keys are taken one by one. A bad value is noted and answered with a harmless stand-in."""

    def __init__(self, document: Document, where: str, node: yaml.MappingNode) -> None:
        self.document = document
        self.where = where
        self.line = node.start_mark.line + 1
        self._left: dict[str, yaml.Node] = {}
        self._key_line: dict[str, int] = {}
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                document.add(line, "bad-key", f"{where or 'top level'}: a key must be a plain word")
            elif name in self._key_line:
                document.add(
                    line, "duplicate-key", f"{self.path(name)}: given twice, first in line {self._key_line[name]}"
                )
            else:
                self._left[name] = value
                self._key_line[name] = line

    def path(self, key: str) -> str:
        """The key with all keys above it, for messages."""
        return f"{self.where}.{key}" if self.where else key

    def line_of(self, key: str) -> int:
        """The line of a key that was or is in the mapping, else the mapping's own."""
        return self._key_line.get(key, self.line)

    def wrong(self, key: str, code: str, message: str) -> None:
        """Note an error of a value that is well-typed and still makes no sense."""
        self.document.add(self.line_of(key), code, f"{self.path(key)}: {message}")

    def __contains__(self, key: str) -> bool:
        return key in self._left

    def _scalar(self, key: str, default: object, what: str) -> str | None:
        node = self._left.pop(key, None)
        if node is None:
            if default is None:
                self.document.add(self.line, "missing-key", f"{self.path(key)}: missing ({what})")
            return None
        if not isinstance(node, yaml.ScalarNode):
            self.wrong(key, "bad-type", f"expected {what}, found {_kind(node)}")
            return None
        return str(node.value)

    def text(self, key: str, default: str | None = None) -> str:
        """Any single-line text; None as default: the key must be there."""
        value = self._scalar(key, default, "a text")
        return value if value is not None else default or ""

    def name(self, key: str, default: str | None = None) -> str:
        """A text that may be part of an IED name."""
        value = self.text(key, default)
        if value and not NAME.fullmatch(value):
            self.wrong(
                key, "bad-name", f"'{value}' is no name (a letter, then letters, digits, underscores; at most 55)"
            )
        return value

    def number(self, key: str, default: float | None = None, low: float = 0.0, high: float = 1e12) -> float:
        """A finite number within low..high."""
        raw = self._scalar(key, default, "a number")
        if raw is None:
            return default if default is not None else max(low, min(1.0, high))
        return self._number(key, raw, low, high)

    def _number(self, key: str, raw: str, low: float, high: float) -> float:
        try:
            value = float(raw)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            self.wrong(key, "bad-type", f"'{raw}' is not a number")
        elif not low <= value <= high:
            self.wrong(key, "out-of-range", f"{value:g} is outside {low:g} to {high:g}")
        else:
            return value
        return max(low, min(1.0, high))

    def integer(self, key: str, default: int | None = None, low: int = 0, high: int = 1 << 31) -> int:
        """A whole number within low..high."""
        value = float(self.number(key, default, low, high))
        if not value.is_integer():
            self.wrong(key, "bad-type", f"{value:g} is not a whole number")
        return int(value)

    def numbers(
        self, key: str, default: tuple[float, ...] = (), low: float = 0.0, high: float = 1e12
    ) -> tuple[float, ...]:
        """A list of numbers."""
        node = self._left.pop(key, None)
        if node is None:
            return default
        if not isinstance(node, yaml.SequenceNode) or not all(isinstance(item, yaml.ScalarNode) for item in node.value):
            self.wrong(key, "bad-type", "expected a list of numbers")
            return default
        return tuple(self._number(key, str(item.value), low, high) for item in node.value)

    def flag(self, key: str, default: bool | None = None) -> bool:
        """true or false."""
        raw = self._scalar(key, default, "true or false")
        if raw is None:
            return bool(default)
        if raw not in {"true", "false"}:
            self.wrong(key, "bad-type", f"'{raw}' is neither true nor false")
        return raw == "true"

    def choice(self, key: str, kind: type[E], default: E | None = None) -> E:
        """One of the enumeration's values."""
        raw = self._scalar(key, default, f"one of {', '.join(kind)}")
        try:
            return kind(raw) if raw is not None else default or next(iter(kind))
        except ValueError:
            self.wrong(key, "bad-choice", f"'{raw}' is not one of {', '.join(kind)}")
            return next(iter(kind))

    def block(self, key: str) -> Block | None:
        """A mapping below this one; None if the key is not there."""
        node = self._left.pop(key, None)
        return self._block(self.path(key), node) if node is not None else None

    def _block(self, where: str, node: yaml.Node) -> Block:
        if not isinstance(node, yaml.MappingNode):
            empty = isinstance(node, yaml.ScalarNode) and node.value in {"", "~", "null"}
            if not empty:
                self.document.add(node.start_mark.line + 1, "bad-type", f"{where}: expected keys, found {_kind(node)}")
            node = yaml.MappingNode("tag:yaml.org,2002:map", [], node.start_mark, node.end_mark)
        return Block(self.document, where, node)

    def blocks(self, key: str, required: bool = False) -> Iterator[tuple[str, Block]]:
        """A mapping of names to mappings; each name may be part of an IED name."""
        below = self.block(key)
        if below is None:
            if required:
                self.document.add(self.line, "missing-key", f"{self.path(key)}: missing (names with keys below)")
            return
        for name, node in below._left.items():
            if not NAME.fullmatch(name):
                below.wrong(
                    name, "bad-name", f"'{name}' is no name (a letter, then letters, digits, underscores; at most 55)"
                )
            yield name, self._block(below.path(name), node)

    def rows(self, key: str) -> Iterator[Block]:
        """A list of mappings."""
        node = self._left.pop(key, None)
        if node is None:
            return
        if not isinstance(node, yaml.SequenceNode):
            self.wrong(key, "bad-type", f"expected a list, found {_kind(node)}")
            return
        for number, item in enumerate(node.value, 1):
            yield self._block(f"{self.path(key)}[{number}]", item)

    def done(self) -> None:
        """Note every key that nobody asked for."""
        for key in self._left:
            self.wrong(key, "unknown-key", "unknown key")


def _kind(node: yaml.Node) -> str:
    if isinstance(node, yaml.MappingNode):
        return "keys"
    return "a list" if isinstance(node, yaml.SequenceNode) else "a single value"
