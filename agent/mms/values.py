"""Values on their way into libiec61850's model: what each live data object showed last, and writing what changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from agent.mms.build import Built, Leaf
from agent.mms.model import IedState
from agent.mms.tree import DataObject, Node, Tree
from agent.mms.wiring import MAIN, Place, Quality, Row, Value, moved, row_of, shown

_WRITERS: Final[dict[str, tuple[str, type]]] = {
    "BOOLEAN": ("Boolean", bool), "FLOAT32": ("Float", float), "INT64": ("Int64", int),
    **dict.fromkeys(("INT8", "INT16", "INT32", "Enum"), ("Int32", int)),
    **dict.fromkeys(("INT8U", "INT16U", "INT24U", "INT32U"), ("Unsigned", int)),
    **dict.fromkeys(("VisString32", "VisString64", "VisString65", "VisString129", "VisString255"),
                    ("VisibleString", str)),
}  # fmt: skip


@dataclass(slots=True)
class _Group:
    """The part of a data object that has one quality and one time: itself, or a sub data object."""

    values: dict[str, Leaf]
    quality: Leaf | None
    time: Leaf | None
    shown: dict[str, Value] = field(default_factory=dict)
    shown_quality: Quality | None = None


@dataclass(slots=True)
class _Object:
    """A data object that is filled from the state; without a row it only tells that it has no value."""

    row: Row | None
    place: Place
    main: str
    groups: list[_Group]
    configured: bool


class Writer:
    """Shows states on one server."""

    def __init__(self, iec: Any, server: Any, tree: Tree, built: Built) -> None:
        self._iec = iec
        self._server = server
        self._stamp = iec.Timestamp_create()
        self._time_quality = -1
        self._bits = {
            Quality.GOOD: iec.QUALITY_VALIDITY_GOOD,
            Quality.OLD: iec.QUALITY_VALIDITY_QUESTIONABLE | iec.QUALITY_DETAIL_OLD_DATA,
            Quality.FAILURE: iec.QUALITY_VALIDITY_INVALID | iec.QUALITY_DETAIL_FAILURE,
        }
        self._objects = list(self._all(tree, built))

    def _all(self, tree: Tree, built: Built) -> Iterator[_Object]:
        by_object: dict[str, dict[str, Leaf]] = {}
        for name, leaf in built.leaves.items():
            node_name, object_name, rest = name.split(".", 2)
            by_object.setdefault(f"{node_name}.{object_name}", {})[rest] = leaf
        for device, node in tree.nodes():
            place = Place(node.prefix, node.ln_class, node.inst, _reference(node))
            for data in node.objects:
                where = f"{device.inst}/{node.name}.{data.name}"
                row = row_of(node, data.name)
                groups = list(_groups(data, by_object.get(where, {})))
                main = next((name for name in MAIN if any(name in group.values for group in groups)), "")
                if groups:
                    yield _Object(row, place, main, groups, data.configured)

    # --- writing -----------------------------------------------------------------------------------------------------

    def write(self, state: IedState, now_us: int) -> None:
        """Write what changed, each with its quality and time. The model is locked by the caller."""
        self._tell_time_quality(state.time_quality)
        for found in self._objects:
            if found.row is None:
                quality = Quality.GOOD if found.configured else Quality.FAILURE
                for group in found.groups:
                    self._show(group, {}, quality, now_us, 0.0)
                continue
            told = shown(state, found.place, found.row, found.main)
            for group in found.groups:
                values = {name: value for name, value in told.values.items() if name in group.values}
                missing = not values and bool(group.values) and bool(group.quality)
                quality = Quality.FAILURE if missing and not found.configured else told.quality
                self._show(group, values, quality, told.since_us or now_us, found.row.step)

    def _show(self, group: _Group, values: Mapping[str, Value], quality: Quality, t_us: int, step: float) -> None:
        changed = {name: value for name, value in values.items() if moved(group.shown.get(name), value, step)}
        if not changed and quality is group.shown_quality:
            return
        iec, server = self._iec, self._server
        if group.time is not None:
            iec.Timestamp_setTimeInNanoseconds(self._stamp, max(0, t_us) * 1000)
            iec.IedServer_updateTimestampAttributeValue(server, group.time.handle, self._stamp)
        if group.quality is not None:
            iec.IedServer_updateQuality(server, group.quality.handle, self._bits[quality])
        for name, value in changed.items():
            self._put(group.values[name], value)
        group.shown.update(changed)
        group.shown_quality = quality

    def _put(self, leaf: Leaf, value: Value) -> None:
        if leaf.kind == "Dbpos":
            self._iec.IedServer_updateDbposValue(self._server, leaf.handle, int(value))
            return
        name, make = _WRITERS[leaf.kind]
        getattr(self._iec, f"IedServer_update{name}AttributeValue")(self._server, leaf.handle, make(value))

    def _tell_time_quality(self, octet: int) -> None:
        if octet == self._time_quality:
            return
        self._time_quality = octet
        iec, known, failed, free = self._iec, bool(octet & 0x80), bool(octet & 0x40), bool(octet & 0x20)
        iec.Timestamp_clearFlags(self._stamp)
        iec.Timestamp_setLeapSecondKnown(self._stamp, known)
        iec.Timestamp_setClockFailure(self._stamp, failed)
        iec.Timestamp_setClockNotSynchronized(self._stamp, free)
        iec.Timestamp_setSubsecondPrecision(self._stamp, octet & 0x1F)
        iec.IedServer_setTimeQuality(self._server, known, failed, free, octet & 0x1F)


def _groups(data: DataObject, leaves: Mapping[str, Leaf]) -> Iterator[_Group]:
    """``leaves`` by path below the data object, and so are the paths in a group."""
    parts = [f"{part.name}." for part in data.parts]
    for part in ("", *parts):
        names = [name for name in leaves if name.startswith(part or tuple(parts)) is bool(part)]
        ends = (f"{part}q", f"{part}t")
        if names:
            values = {name: leaves[name] for name in names if name not in ends}
            yield _Group(values, leaves.get(ends[0]), leaves.get(ends[1]))


def _reference(node: Node) -> str:
    """The control block that a supervision node watches, as frames name it: ``F1_AGFLISR/LLN0$GO$gcbFlisr``."""
    kind = {"LGOS": "GO", "LSVS": "MS"}.get(node.ln_class, "")
    for data in node.objects:
        for attribute in data.attributes:
            if attribute.name == "setSrcRef" and kind:
                return attribute.value.replace(".", f"${kind}$", 1)
    return ""
