"""Dataclasses, named tuples and enums to JSON values and back, driven by their type hints.

The station process compiles the configuration once and hands it to the protection process as JSON, so that the latter
imports no XML, no YAML and no schema. A named tuple may also come as an array, as ``json.dumps`` writes it.
Only types named by the caller are built: data from a file cannot choose a class.
"""

from __future__ import annotations

import base64
import dataclasses
import types
import typing
from enum import Enum
from typing import Any, TypeVar

T = TypeVar("T")


def dump(value: Any) -> Any:
    """A JSON value: dataclass and named tuple → object, tuple → array, enum → its value, bytes → base64."""
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if dataclasses.is_dataclass(value):
        return {field.name: dump(getattr(value, field.name)) for field in dataclasses.fields(value) if field.init}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return {name: dump(getattr(value, name)) for name in value._fields}
    if isinstance(value, list | tuple | set | frozenset):
        return [dump(item) for item in value]
    if isinstance(value, dict):
        return {str(key): dump(item) for key, item in value.items()}
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode("ascii")
    raise TypeError(f"no JSON form for {type(value).__name__}")


def load(kind: type[T], data: Any) -> T:
    """Build a ``kind`` from what :func:`dump` made of one; ValueError names what does not fit."""
    result: T = _load(kind, data, getattr(kind, "__name__", str(kind)))
    return result


def _load(kind: Any, data: Any, where: str) -> Any:
    origin = typing.get_origin(kind)
    if kind is Any:
        return data
    if origin in (typing.Union, types.UnionType):
        return _load_union(kind, data, where)
    if origin is tuple:
        return _load_tuple(typing.get_args(kind), data, where)
    if origin in (list, frozenset, set):
        (item,) = typing.get_args(kind)
        return origin(_load(item, entry, where) for entry in data)
    if origin is dict:
        key, item = typing.get_args(kind)
        return {_load_key(key, name): _load(item, entry, f"{where}.{name}") for name, entry in data.items()}
    if isinstance(kind, type):
        return _load_class(kind, data, where)
    raise ValueError(f"{where}: no rule for {kind}")


def _load_key(kind: Any, name: str) -> Any:
    return int(name) if kind is int else name


def _load_union(kind: Any, data: Any, where: str) -> Any:
    options = typing.get_args(kind)
    if data is None:
        if type(None) in options:
            return None
        raise ValueError(f"{where}: missing")
    rest = [option for option in options if option is not type(None)]
    problem: Exception = ValueError(f"{where}: no type fits")
    for option in rest:
        try:
            return _load(option, data, where)
        except (ValueError, TypeError, KeyError) as error:
            problem = error
    raise ValueError(f"{where}: {problem}")


def _load_tuple(arguments: tuple[Any, ...], data: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(data, list | tuple):
        raise ValueError(f"{where}: an array is needed")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(_load(arguments[0], entry, f"{where}[{i}]") for i, entry in enumerate(data))
    if len(arguments) != len(data):
        raise ValueError(f"{where}: {len(arguments)} entries are needed, not {len(data)}")
    pairs = enumerate(zip(arguments, data, strict=True))
    return tuple(_load(kind, entry, f"{where}[{i}]") for i, (kind, entry) in pairs)


_hints: dict[type, dict[str, Any]] = {}


def _load_class(kind: type, data: Any, where: str) -> Any:
    if issubclass(kind, Enum):
        return kind(data)
    named_tuple = issubclass(kind, tuple) and hasattr(kind, "_fields")
    if dataclasses.is_dataclass(kind) or named_tuple:
        if named_tuple and isinstance(data, list):
            fields: tuple[str, ...] = kind._fields  # type: ignore[attr-defined]
            if len(data) != len(fields):
                raise ValueError(f"{where}: {len(fields)} entries are needed, not {len(data)}")
            data = dict(zip(fields, data, strict=True))
        if not isinstance(data, dict):
            raise ValueError(f"{where}: an object is needed")
        hints = _hints.get(kind)
        if hints is None:
            hints = _hints[kind] = typing.get_type_hints(kind)
        unknown = data.keys() - hints.keys()
        if unknown:
            raise ValueError(f"{where}: unknown {', '.join(sorted(unknown))}")
        try:
            return kind(**{name: _load(hints[name], entry, f"{where}.{name}") for name, entry in data.items()})
        except TypeError as error:
            raise ValueError(f"{where}: {error}") from error
    if kind is bytes:
        return base64.b64decode(data, validate=True)
    if kind is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if kind in (int, float, str, bool) and isinstance(data, kind) and not (kind is int and isinstance(data, bool)):
        return data
    if kind is dict and isinstance(data, dict):
        return data
    raise ValueError(f"{where}: {kind.__name__} is needed, not {type(data).__name__}")
