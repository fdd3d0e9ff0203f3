"""The scheme's tuples as GOOSE data sets: ``Report``, ``BreakerCommand``, ``BreakerStatus`` to raw values and back.

Members, order and basic types come from ``scl.flisr_dataset`` (the SCD file is written from the same list); this module
only knows how a field becomes a number. Values from outside are checked: an ordinal that the enumeration does not have,
a measured value that is not finite, a negative mask or number is a :class:`CodecError` with cause ``bad-value``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import IntEnum
from typing import Generic, Protocol, TypeVar

from agent.goose.codec import CodecError
from agent.goose.layout import Raw
from agent.logic.messages import (
    BreakerCommand,
    BreakerStatus,
    Direction,
    Level,
    Live,
    Position,
    Report,
    Request,
    RequestKind,
)
from scl.flisr_dataset import GRANTS, MASK_BITS, Member, command_members, report_members, status_members, words

T = TypeVar("T")
E = TypeVar("E", bound=IntEnum)

FLOAT_MAX = 2.0**127
"""Larger measured values are sent as this and not taken from others; exact in FLOAT32."""
_LEAST = -FLOAT_MAX
WORD = (1 << MASK_BITS) - 1

_POSITION: dict[Raw, Position] = {item.value: item for item in Position}
_LEVEL: dict[Raw, Level] = {item.value: item for item in Level}
_DIRECTION: dict[Raw, Direction] = {item.value: item for item in Direction}
_LIVE: dict[Raw, Live] = {item.value: item for item in Live}
_KIND: dict[Raw, RequestKind] = {item.value: item for item in RequestKind}


class Codec(Protocol[T]):
    """A tuple to raw values and back."""

    def to_values(self, message: T) -> tuple[Raw, ...]: ...
    def from_values(self, values: Sequence[Raw]) -> T: ...


class DataSet(Generic[T]):
    """A data set of the scheme: what SCL lists, and the mapping."""

    def __init__(self, name: str, members: tuple[Member, ...], codec: Codec[T]) -> None:
        self.name = name
        self.members = members
        self.codec = codec

    @property
    def b_types(self) -> tuple[str, ...]:
        """Basic types in order, for :class:`agent.goose.layout.Layout`."""
        return tuple(member.b_type for member in self.members)

    @property
    def references(self) -> tuple[str, ...]:
        """``LD/LN.DO.DA[FC]`` in order."""
        return tuple(member.reference for member in self.members)

    def to_values(self, message: T) -> tuple[Raw, ...]:
        """Raw values in member order."""
        return self.codec.to_values(message)

    def from_values(self, values: Sequence[Raw]) -> T:
        """The tuple; CodecError with cause ``bad-value`` where a value makes no sense."""
        try:
            return self.codec.from_values(values)
        except KeyError as error:
            raise CodecError(f"{self.name}: no such ordinal: {error.args[0]}", "bad-value") from None


def report_data_set(zones: int, devices: int) -> DataSet[Report]:
    """dsFlisr of a feeder with so many zones and devices."""
    members = report_members(zones, devices)
    codec = _ReportCodec(words(zones), words(devices))
    _same_order(members, codec.fields())
    return DataSet("dsFlisr", members, codec)


def command_data_set() -> DataSet[BreakerCommand]:
    """dsOper."""
    members = command_members()
    _same_order(members, list(BreakerCommand._fields))
    return DataSet("dsOper", members, _CommandCodec())


def status_data_set(switch: str = "XCBR") -> DataSet[BreakerStatus]:
    """dsPos; ``switch`` is XCBR or XSWI and changes references only."""
    members = status_members(switch)
    _same_order(members, list(BreakerStatus._fields))
    return DataSet("dsPos", members, _StatusCodec())


def _same_order(members: tuple[Member, ...], fields: list[str]) -> None:
    listed = [member.field for member in members]
    if listed != fields:
        raise CodecError(f"data set lists {listed}, the tuple has {fields}", "data-set")


def _float(value: float) -> float:
    """What FLOAT32 can hold; sending must not fail on a measured value."""
    if -FLOAT_MAX < value < FLOAT_MAX:
        return value
    return 0.0 if math.isnan(value) else FLOAT_MAX if value > 0 else -FLOAT_MAX


def _finite(*values: Raw) -> None:
    for value in values:
        if not -FLOAT_MAX <= value <= FLOAT_MAX:
            raise CodecError(f"measured value {value}", "bad-value")


def _natural(*values: Raw) -> None:
    for value in values:
        if value < 0:
            raise CodecError(f"negative number {value}", "bad-value")


def _split(mask: int, count: int) -> Sequence[int]:
    if count == 1 and 0 <= mask <= WORD:
        return (mask,)
    parts = [mask >> (MASK_BITS * i) & WORD for i in range(count)]
    if mask < 0 or mask >> (MASK_BITS * count):
        raise CodecError(f"mask {mask:#x} has bits beyond {count} words", "unencodable")
    return parts


def _join(parts: Sequence[Raw]) -> int:
    if len(parts) == 1:
        return int(parts[0])
    mask = 0
    for i, part in enumerate(parts):
        mask |= int(part) << (MASK_BITS * i)
    return mask


class _ReportCodec:
    """``Report``; positions of the fields follow from the number of words of a mask.

    Request and grants seldom change, the rest of a report does: what was last made of them is kept, both ways.
    """

    def __init__(self, zone_words: int, device_words: int) -> None:
        self._zone_words = zone_words
        self._device_words = device_words
        # claim_zones start at 12; after them nine fields and the request
        self._claim_end = 12 + zone_words
        self._request = self._claim_end + 9
        asked, granted = Request(), ()
        tail = self._to_tail(asked, granted)
        self._told: tuple[Request, tuple[tuple[int, int], ...], tuple[Raw, ...]] = (asked, granted, tail)
        self._heard: tuple[Sequence[Raw], tuple[Request, tuple[tuple[int, int], ...]]] = (tail, (asked, granted))

    def fields(self) -> list[str]:
        """Flattened field names in the order of the raw values."""
        head = list(Report._fields[: Report._fields.index("claim_zones")])
        tail = list(Report._fields[Report._fields.index("claim_us") : Report._fields.index("request")])
        request = ["request.number", "request.kind", *["request.zones"] * self._zone_words]
        request += ["request.p_kw", "request.q_kvar", *["request.opens"] * self._device_words]
        grants = [f"grants.{i}.{part}" for i in range(GRANTS) for part in (0, 1)]
        return head + ["claim_zones"] * self._zone_words + tail + request + grants

    def to_values(self, message: Report) -> tuple[Raw, ...]:
        r = message
        asked, granted = r.request, r.grants
        if asked is not self._told[0] or granted is not self._told[1]:
            self._told = (asked, granted, self._to_tail(asked, granted))
        return (
            r.position, r.level, r.direction, r.start_us, r.end_us, r.upto_us, _float(r.peak_a), r.live_a, r.live_b,
            _float(r.p_kw), _float(r.q_kvar), r.claim_number, *_split(r.claim_zones, self._zone_words),
            r.claim_us, r.claim_final, r.locked_a, r.locked_b, r.latched, r.failed, r.automation, r.tagged, r.ready,
            *self._told[2],
        )  # fmt: skip

    def _to_tail(self, request: Request, granted: tuple[tuple[int, int], ...]) -> tuple[Raw, ...]:
        if len(granted) > GRANTS:
            raise CodecError(f"{len(granted)} grants, at most {GRANTS}", "unencodable")
        grants: list[int] = [part for grant in granted for part in grant]
        grants += [-1, 0] * (GRANTS - len(granted))
        return (
            request.number, request.kind, *_split(request.zones, self._zone_words),
            _float(request.p_kw), _float(request.q_kvar), *_split(request.opens, self._device_words),
            *grants,
        )  # fmt: skip

    def from_values(self, values: Sequence[Raw]) -> Report:
        v = values
        claim_end, request = self._claim_end, self._request
        if not (_LEAST <= v[6] <= FLOAT_MAX and _LEAST <= v[9] <= FLOAT_MAX and _LEAST <= v[10] <= FLOAT_MAX):
            raise CodecError(f"measured values {v[6]}, {v[9]}, {v[10]}", "bad-value")
        if min(v[3], v[4], v[5], *v[11 : claim_end + 1]) < 0:
            raise CodecError(f"negative number among {v[3:6]}, {v[11 : claim_end + 1]}", "bad-value")
        tail = v[request:]
        if tail != self._heard[0]:
            self._heard = (tail, self._from_tail(tail))
        return Report._make((
            _POSITION[v[0]], _LEVEL[v[1]], _DIRECTION[v[2]], *v[3:7],
            _LIVE[v[7]], _LIVE[v[8]], *v[9:12], _join(v[12:claim_end]), *v[claim_end:request],
            *self._heard[1],
        ))  # fmt: skip

    def _from_tail(self, v: Sequence[Raw]) -> tuple[Request, tuple[tuple[int, int], ...]]:
        zones_end, opens_end = 2 + self._zone_words, 4 + self._zone_words + self._device_words
        _finite(v[zones_end], v[zones_end + 1])
        _natural(v[0], *v[2:zones_end], *v[zones_end + 2 : opens_end])
        number, kind = int(v[0]), _KIND[v[1]]
        zones, opens = _join(v[2:zones_end]), _join(v[zones_end + 2 : opens_end])
        asked = Request(number, kind, zones, float(v[zones_end]), float(v[zones_end + 1]), opens)
        grants = tuple((int(v[i]), int(v[i + 1])) for i in range(opens_end, opens_end + 2 * GRANTS, 2) if v[i] >= 0)
        return asked, grants


class _CommandCodec:
    """``BreakerCommand``."""

    def to_values(self, message: BreakerCommand) -> tuple[Raw, ...]:
        return tuple(message)

    def from_values(self, values: Sequence[Raw]) -> BreakerCommand:
        trip, number, expiry, block = values
        _natural(number, expiry)
        return BreakerCommand(bool(trip), int(number), int(expiry), bool(block))


class _StatusCodec:
    """``BreakerStatus``."""

    def to_values(self, message: BreakerStatus) -> tuple[Raw, ...]:
        return tuple(message)

    def from_values(self, values: Sequence[Raw]) -> BreakerStatus:
        position, live_a, live_b, local, blocked, healthy, operations, level, direction = values
        _natural(operations)
        return BreakerStatus(
            _POSITION[position],
            _LIVE[live_a],
            _LIVE[live_b],
            bool(local),
            bool(blocked),
            bool(healthy),
            int(operations),
            _LEVEL[level],
            _DIRECTION[direction],
        )
