"""Taking a report control block of a server, setting it up and giving it back (IEC 61850-7-2 clause 17).

A server forgets what a buffered block has kept when RptID, DatSet, BufTm, TrgOps or IntgPd are written, so only what is
not yet as it should be is written.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from open61850.data import BitStringData, BoolData, IECData, IntData, OctetStringData, UIntData, VisibleStringData
from open61850.mms.errors import DataAccessError
from open61850.mms.pdu import ObjectName
from open61850.mms.report import OptFlds, TrgOps

from agent.mms.client.connection import Connection
from agent.mms.client.described import BlockDescription
from agent.mms.client.errors import MmsError, ReferenceNotFoundError, RefusedError
from agent.mms.client.reports import NOTHING, Block, Loss, block_reference

INSTANCES: Final = 24
"""Numbered instances of a block that are looked for."""
FIELDS: Final = OptFlds(
    sequence_number=True, report_time_stamp=True, reason_for_inclusion=True, data_set_name=True, buffer_overflow=True,
    entry_id=True, conf_revision=True,
)  # fmt: skip
ATTRIBUTES: Final = (
    "RptEna", "RptID", "DatSet", "ConfRev", "OptFlds", "BufTm", "TrgOps", "IntgPd", "EntryID", "ResvTms", "Resv",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to subscribe to."""

    block: str
    """``LD/LN.name`` of a block, or of its instances without their number: the first free one is taken."""
    integrity_ms: int = 0
    """0: no periodic reports."""
    buffer_ms: int | None = None
    """BufTm; None: as it is."""
    reserve_s: int = 60
    """So long a buffered block stays ours while we are away, where the server has ResvTms."""
    interrogate: bool = True
    """Ask for all values at the beginning, and after a loss."""
    described: BlockDescription | None = None
    """What SCL says of it: neither instances nor members are asked for while ConfRev is the same."""

    @property
    def triggers(self) -> TrgOps:
        """Data and quality changes, integrity if there is a period, general interrogation."""
        return TrgOps(
            data_change=True, quality_change=True, integrity=self.integrity_ms > 0, general_interrogation=True
        )


Values = dict[str, IECData | DataAccessError]


async def candidates(connection: Connection, wanted: Wanted, preferred: str = "") -> list[ObjectName]:
    """Blocks of this name that are there, the preferred one and buffered ones first; ReferenceNotFoundError."""
    there = [] if wanted.described is None else list(wanted.described.instances)
    if wanted.described is not None and wanted.block != wanted.described.base:
        there = [name for name in there if block_reference(name) == wanted.block]
    return sorted(there or await _found(connection, wanted.block), key=lambda name: block_reference(name) != preferred)


async def _found(connection: Connection, wanted: str) -> list[ObjectName]:
    domain, slash, rest = wanted.partition("/")
    node, dot, name = rest.replace("$BR$", ".").replace("$RP$", ".").partition(".")
    if not (slash and dot and name):
        raise ReferenceNotFoundError(f"{wanted}: expected LD/LN.name of a report control block")
    instances = [name, *(f"{name}{number:02d}" for number in range(1, INSTANCES + 1))]
    names = [ObjectName(f"{node}${fc}${instance}", domain) for fc in ("BR", "RP") for instance in instances]
    told = await connection.read_many([attribute(name, "RptEna") for name in names])
    there = [name for name, value in zip(names, told, strict=True) if isinstance(value, BoolData)]
    if not there:
        raise ReferenceNotFoundError(f"{connection.server}: {wanted}: no such report control block")
    return there


def attribute(block: ObjectName, name: str) -> ObjectName:
    """``LN$BR$block$name``."""
    return ObjectName(f"{block.item}${name}", block.domain)


async def values(connection: Connection, block: ObjectName) -> Values:
    """The attributes of a block, those that it has."""
    told = await connection.read_many([attribute(block, name) for name in ATTRIBUTES])
    return dict(zip(ATTRIBUTES, told, strict=True))


async def _block(connection: Connection, name: ObjectName, now: Values, scl: BlockDescription | None) -> Block:
    """Its data set and what reports of it are known by."""
    data_set = _text(now["DatSet"])
    domain, slash, item = data_set.partition("/")
    if not slash:
        raise RefusedError(block_reference(name), "it has no data set")
    of = ObjectName(item.replace(".", "$"), domain)
    told = now["ConfRev"]
    revision = told.value if isinstance(told, UIntData | IntData) else None
    known = scl is not None and scl.data_set == of and scl.conf_rev == revision
    members = scl.members if scl is not None and known else tuple(await connection.members(of))
    return Block(name, _text(now["RptID"]) or f"{name.domain}/{name.item}", of, revision, members)


async def members(connection: Connection, name: ObjectName) -> tuple[ObjectName, ...]:
    """Of the block's data set."""
    return (await _block(connection, name, await values(connection, name), None)).members


async def enable(
    connection: Connection,
    name: ObjectName,
    wanted: Wanted,
    position: bytes | None,
    ready: Callable[[Block, Loss | None], None],
    fresh: bool = True,
) -> None:
    """Reserve, set up and enable a block, behind ``position`` if it is buffered. ``ready`` is called just before
    reports can come, with what is lost if the server does not know the position. RefusedError if it is not free.
    ``fresh``: all values of a buffered block are wanted, too; otherwise only after a loss."""
    now = await values(connection, name)
    buffered = "$BR$" in name.item
    if isinstance(now["RptEna"], BoolData) and now["RptEna"].value:
        raise RefusedError(block_reference(name), "another client uses it")
    await _reserve(connection, name, wanted, now, buffered)
    block = await _block(connection, name, now, wanted.described)
    for part, value in _settings(wanted, now):
        await connection.write(attribute(name, part), value)
    loss = await _resume(connection, block, position) if buffered else None
    ready(block, loss)
    await connection.write(attribute(name, "RptEna"), BoolData(True))
    if wanted.interrogate and (not buffered or fresh or loss is not None):
        await connection.write(attribute(name, "GI"), BoolData(True))


async def disable(connection: Connection, name: ObjectName) -> None:
    """Let go of a block; what a server does not have of it is passed over."""
    with contextlib.suppress(MmsError):
        await connection.write(attribute(name, "RptEna"), BoolData(False))
        if "$BR$" in name.item:
            await connection.write(attribute(name, "ResvTms"), IntData(0))
        else:
            await connection.write(attribute(name, "Resv"), BoolData(False))


async def pause(connection: Connection, name: ObjectName) -> None:
    """No reports until it is enabled again; a buffered one goes on to keep them."""
    await connection.write(attribute(name, "RptEna"), BoolData(False))


async def _reserve(connection: Connection, name: ObjectName, wanted: Wanted, now: Values, buffered: bool) -> None:
    if not buffered:
        if isinstance(now["Resv"], BoolData) and not now["Resv"].value:
            await connection.write(attribute(name, "Resv"), BoolData(True))
        return
    held = now["ResvTms"]
    # -1: the configuration gives it to one client; the server knows whether that is us.
    if isinstance(held, IntData | UIntData) and held.value >= 0:
        value = IntData(wanted.reserve_s) if isinstance(held, IntData) else UIntData(wanted.reserve_s)
        await connection.write(attribute(name, "ResvTms"), value)


def _settings(wanted: Wanted, now: Values) -> list[tuple[str, IECData]]:
    """What is not yet as it should be."""
    aims: dict[str, IECData] = {
        "OptFlds": FIELDS.to_bitstring(),
        "TrgOps": wanted.triggers.to_bitstring(),
        "IntgPd": UIntData(wanted.integrity_ms),
    }
    if wanted.buffer_ms is not None:
        aims["BufTm"] = UIntData(wanted.buffer_ms)
    return [(name, aim) for name, aim in aims.items() if not _same(now[name], aim)]


def _same(now: IECData | DataAccessError, aim: IECData) -> bool:
    if isinstance(now, BitStringData) and isinstance(aim, BitStringData):
        return now.value.rstrip(b"\x00") == aim.value.rstrip(b"\x00")
    if isinstance(now, IntData | UIntData) and isinstance(aim, IntData | UIntData):
        return now.value == aim.value
    return False


async def _resume(connection: Connection, block: Block, position: bytes | None) -> Loss | None:
    """Go on behind a report, or with the oldest one that is kept."""
    where = attribute(block.name, "EntryID")
    if position is not None:
        try:
            await connection.write(where, OctetStringData(position))
            return None
        except RefusedError as error:
            why = f"the server does not know EntryID {position.hex()} any more ({error.reason})"
    with contextlib.suppress(RefusedError):
        await connection.write(where, OctetStringData(NOTHING))
    return Loss(block.reference, why) if position is not None else None


def _text(value: IECData | DataAccessError) -> str:
    return value.value if isinstance(value, VisibleStringData) else ""
