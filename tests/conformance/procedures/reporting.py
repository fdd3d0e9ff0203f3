"""Reports. Each procedure is played on an unbuffered or a buffered control block, by the names below."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from open61850.data import BoolData, OctetStringData, UIntData, VisibleStringData
from open61850.mms.association import AssociationParameters, association_request, decode_association_response
from open61850.mms.client import MmsClient
from open61850.mms.rcb import RcbSettings, disable, enable
from open61850.mms.report import OptFlds, TrgOps
from open61850.mms.transport import IsoConnection

from agent.logic.messages import Position
from tests.conformance.asking import INVALID, MISSING, UNAVAILABLE, Heard, hearing, name, names, refused
from tests.conformance.device import Device

UNBUFFERED, BUFFERED = "LLN0$RP$urcbStatus", "LLN0$BR$brcbStatus"
CHANGES = TrgOps(data_change=True, quality_change=True)
FIELDS = OptFlds(sequence_number=True, report_time_stamp=True, reason_for_inclusion=True, data_set_name=True,
                 entry_id=True, conf_revision=True, buffer_overflow=True)  # fmt: skip


def settings(
    triggers: TrgOps = CHANGES,
    fields: OptFlds = FIELDS,
    gi: bool = False,
    integrity_ms: int = 0,
    buffer_ms: int = 0,
    purge: bool | None = None,
) -> RcbSettings:
    return RcbSettings(triggers, fields, integrity_ms, buffer_ms, 5, purge, None, gi)


@contextlib.contextmanager
def reporting(device: Device, block: str, how: RcbSettings) -> Iterator[tuple[MmsClient, Heard]]:
    """A client whose block is enabled; its instance is free again afterwards."""
    asked = name(device, block)
    with device.client() as client, hearing(client) as heard:
        enable(client, asked, how)
        yield client, heard
        disable(client, asked)


def _move(device: Device) -> None:
    """The position changes, as if by hand."""
    there = device.bench.bays["F1"].position
    device.put(Position.OPEN if there is Position.CLOSED else Position.CLOSED)


def _lists(device: Device, part: str, base: str) -> None:
    with device.client() as client:
        kind = part == "BR"
        described = {
            f"{node.name}${part}${one}"
            for node in device.offered.tree.devices[0].nodes
            for report in node.reports
            if report.buffered == kind
            for one in report.names
        }
        assert set(names(client, device, part)) == described
        for item in described:
            parts = dict(client.get_type(name(device, item)).components)
            assert {
                "RptID",
                "RptEna",
                "DatSet",
                "ConfRev",
                "OptFlds",
                "BufTm",
                "SqNum",
                "TrgOps",
                "IntgPd",
                "GI",
            } <= set(parts)
            assert ({"PurgeBuf", "EntryID", "TimeofEntry", "ResvTms"} <= set(parts)) == kind
            assert len(client.read(name(device, item)).members) == len(parts)
        assert any(item.startswith(base) for item in described)


def unbuffered_blocks_are_listed(device: Device) -> None:
    _lists(device, "RP", UNBUFFERED)


def buffered_blocks_are_listed(device: Device) -> None:
    _lists(device, "BR", BUFFERED)


def _optional_fields(device: Device, block: str, buffered: bool) -> None:
    """All, then none: a report has what was asked for. Those of buffered reports mean nothing in others."""
    with reporting(device, block, settings(TrgOps(general_interrogation=True), gi=True)) as (_, heard):
        report = heard.wait()
        assert report.seq_num == 0
        assert report.time_of_entry is not None
        assert report.data_set == f"{device.domain}/LLN0$dsStatus"
        assert report.conf_rev == 1
        assert all(entry.reason is not None for entry in report.entries)
        assert (report.entry_id is not None) == buffered
    with reporting(device, block, settings(TrgOps(general_interrogation=True), OptFlds(), gi=True)) as (_, heard):
        report = heard.wait()
        assert (report.seq_num, report.time_of_entry, report.data_set, report.conf_rev) == (None, None, None, None)
        assert report.entry_id is None
        assert report.entries
    with reporting(
        device, block, settings(TrgOps(general_interrogation=True), OptFlds(data_reference=True), gi=True)
    ) as (client, heard):
        members = client.get_data_set_members(name(device, "LLN0$dsStatus"))
        report = heard.wait()
        assert [entry.reference for entry in report.entries] == [str(members[entry.index]) for entry in report.entries]


def unbuffered_fields(device: Device) -> None:
    _optional_fields(device, f"{UNBUFFERED}01", buffered=False)


def buffered_fields(device: Device) -> None:
    _optional_fields(device, f"{BUFFERED}01", buffered=True)


def _triggers(device: Device, block: str) -> None:
    """A change is reported for its reason; integrity comes by itself; what is not asked for does not come."""
    with reporting(device, block, settings(purge=True if "$BR$" in block else None)) as (client, heard):
        since = heard.count()
        _move(device)
        report = heard.wait(lambda one: bool(one.entries), since)
        assert all(
            entry.reason.data_change or entry.reason.quality_change
            for entry in report.entries
            if entry.reason is not None
        )
        members = [str(member) for member in client.get_data_set_members(name(device, "LLN0$dsStatus"))]
        moved = f"{device.domain}/XCBR1$ST$Pos"
        heard.wait(lambda one: any(members[entry.index] == moved for entry in one.entries), since)
    with reporting(device, block, settings(TrgOps(integrity=True), integrity_ms=500)) as (client, heard):
        first = heard.wait(lambda one: any(e.reason.integrity for e in one.entries if e.reason))
        assert len(first.entries) == len(client.get_data_set_members(name(device, "LLN0$dsStatus")))
        heard.wait(lambda one: any(e.reason.integrity for e in one.entries if e.reason), heard.count())
    with reporting(device, block, settings(TrgOps(general_interrogation=True))) as (_, heard):
        _move(device)
        time.sleep(1.0)
        assert not any(entry.reason.data_change for one in heard.reports for entry in one.entries if entry.reason)


def unbuffered_triggers(device: Device) -> None:
    _triggers(device, f"{UNBUFFERED}01")


def buffered_triggers(device: Device) -> None:
    _triggers(device, f"{BUFFERED}01")


def _interrogation(device: Device, block: str) -> None:
    """GI brings every member, with this reason, as often as it is asked for."""
    with reporting(device, block, settings(TrgOps(general_interrogation=True))) as (client, heard):
        members = len(client.get_data_set_members(name(device, "LLN0$dsStatus")))
        for _ in range(2):
            since = heard.count()
            client.write(name(device, f"{block}$GI"), BoolData(True))
            report = heard.wait(lambda one: any(e.reason.general_interrogation for e in one.entries if e.reason), since)
            assert len(report.entries) == members


def unbuffered_interrogation(device: Device) -> None:
    _interrogation(device, f"{UNBUFFERED}01")


def buffered_interrogation(device: Device) -> None:
    _interrogation(device, f"{BUFFERED}01")


def _small(device: Device) -> MmsClient:
    """A client that takes short messages only."""
    connection = IsoConnection.connect("127.0.0.1", device.port)
    connection.send(association_request(AssociationParameters(max_pdu_size=1000)))
    accepted = decode_association_response(connection.recv() or b"")
    assert accepted.max_pdu_size <= 1000
    client = MmsClient(connection, association=accepted)
    client._start()
    return client


def segments(device: Device) -> None:
    """A report that does not fit into one message comes in parts: one sequence number, numbered parts, all members."""
    block = name(device, f"{UNBUFFERED}01")
    with _small(device) as client, hearing(client) as heard:
        (members,) = {
            len(data_set.members)
            for node in device.offered.tree.devices[0].nodes
            for data_set in node.data_sets
            if data_set.name == "dsStatus"
        }
        fields = OptFlds(sequence_number=True, data_reference=True, segmentation=True)
        enable(client, block, settings(TrgOps(general_interrogation=True), fields, gi=True))
        heard.wait(lambda one: one.more_segments_follow is False)
        parts = heard.reports
        assert len(parts) > 1
        assert {part.seq_num for part in parts} == {0}
        assert [part.sub_seq_num for part in parts] == list(range(len(parts)))
        assert sum(len(part.entries) for part in parts) == members
        disable(client, block)


def configuration_revision(device: Device) -> None:
    """ConfRev of the block is the SCL's, is in reports, and nobody writes it."""
    with device.client() as client:
        for item in (f"{UNBUFFERED}01", f"{BUFFERED}01"):
            assert client.read(name(device, f"{item}$ConfRev")).value == 1
            told = refused(lambda i=item: client.write(name(device, f"{i}$ConfRev"), UIntData(9)))
            assert told[0] == "access"
            assert client.read(name(device, f"{item}$ConfRev")).value == 1


def _buffer_time(device: Device, block: str) -> None:
    """Changes within the buffer time come in one report, after it."""
    purge = True if "$BR$" in block else None
    with reporting(device, block, settings(buffer_ms=800, purge=purge)) as (client, heard):
        members = [str(member) for member in client.get_data_set_members(name(device, "LLN0$dsStatus"))]
        since = heard.count()
        _move(device)
        moved = {f"{device.domain}/XCBR1$ST$Pos", f"{device.domain}/CSWI1$ST$Pos"}
        report = heard.wait(lambda one: bool(one.entries), since)
        assert moved <= {members[entry.index] for entry in report.entries}


def unbuffered_buffer_time(device: Device) -> None:
    _buffer_time(device, f"{UNBUFFERED}01")


def buffered_buffer_time(device: Device) -> None:
    _buffer_time(device, f"{BUFFERED}01")


def unbuffered_needs_a_new_beginning(device: Device) -> None:
    """After a lost association the block is free and disabled; a new client enables it, with sequence number 0."""
    block = name(device, f"{UNBUFFERED}02")
    lost = MmsClient.connect("127.0.0.1", device.port)
    enable(lost, block, settings())
    lost.close()
    with device.client() as client:
        device.until(lambda: not client.read(name(device, f"{UNBUFFERED}02$RptEna")).value)
        assert not client.read(name(device, f"{UNBUFFERED}02$Resv")).value
    with reporting(device, f"{UNBUFFERED}02", settings(TrgOps(general_interrogation=True), gi=True)) as (_, heard):
        assert heard.wait().seq_num == 0


def buffers_while_nobody_is_there(device: Device) -> None:
    """What changes between two associations is reported after the second, in order, after the last entry that was had:
    none is lost and none comes twice."""
    block = f"{BUFFERED}03"
    with device.client() as client, hearing(client) as heard:
        enable(client, name(device, block), settings(purge=True))
        _move(device)
        last = heard.wait(lambda one: bool(one.entries)).entry_id
        time.sleep(0.5)
        last = heard.reports[-1].entry_id
        had = {report.entry_id for report in heard.reports}
    assert last is not None
    _move(device)
    time.sleep(0.5)
    _move(device)
    time.sleep(0.5)
    with device.client() as client, hearing(client) as heard:
        how = RcbSettings(None, None, None, None, 5, None, last, False)
        enable(client, name(device, block), how)
        heard.wait()
        time.sleep(0.5)
        entries = [report.entry_id or b"" for report in heard.reports]
        assert len(entries) >= 2
        assert entries == sorted(entries)
        assert len(set(entries)) == len(entries)
        assert not had & set(entries)
        disable(client, name(device, block))


def purges(device: Device) -> None:
    """PurgeBuf: what was kept is not reported."""
    block = f"{BUFFERED}04"
    with device.client() as client, hearing(client):
        enable(client, name(device, block), settings(purge=True))
    _move(device)
    time.sleep(0.7)
    with reporting(device, block, settings(TrgOps(general_interrogation=True), purge=True)) as (_, heard):
        time.sleep(0.5)
        assert not any(entry.reason.data_change for one in heard.reports for entry in one.entries if entry.reason)


def reserves_for_a_time(device: Device) -> None:
    """ResvTms: the block of a client that is gone stays its own for so long, and is free after it."""
    block = f"{BUFFERED}02"
    lost = MmsClient.connect("127.0.0.1", device.port)
    enable(lost, name(device, block), settings())
    with device.client() as other:
        assert refused(lambda: enable(other, name(device, block), settings()))[0] == "access"
        lost.close()
        device.until(lambda: other.read(name(device, f"{block}$ResvTms")).value == 0)
        enable(other, name(device, block), settings())
        disable(other, name(device, block))


def _refuses_unknown(device: Device, part: str) -> None:
    with device.client() as client:
        for item in (f"LLN0${part}$none", f"LLN0${part}$none$RptEna", f"XCBR1${part}$brcbStatus01"):
            assert refused(lambda i=item: client.read(name(device, i))) == ("access", MISSING)


def refuses_unknown_unbuffered(device: Device) -> None:
    _refuses_unknown(device, "RP")


def refuses_unknown_buffered(device: Device) -> None:
    _refuses_unknown(device, "BR")


def _no_integrity(device: Device, block: str) -> None:
    with reporting(device, block, settings(TrgOps(integrity=True), integrity_ms=0)) as (_, heard):
        time.sleep(1.5)
        assert not any(entry.reason.integrity for one in heard.reports for entry in one.entries if entry.reason)


def unbuffered_without_period(device: Device) -> None:
    """Integrity as a trigger, but a period of 0: none comes."""
    _no_integrity(device, f"{UNBUFFERED}01")


def buffered_without_period(device: Device) -> None:
    _no_integrity(device, f"{BUFFERED}01")


def _refuses_changes(device: Device, block: str) -> None:
    """While a block is enabled it cannot be configured; nor ever with a data set or an entry that is not there."""
    with reporting(device, block, settings()) as (client, _):
        for attribute, value in (
            ("BufTm", UIntData(5)),
            ("IntgPd", UIntData(1000)),
            ("RptID", VisibleStringData("other")),
            ("DatSet", VisibleStringData(f"{device.domain}/LLN0$dsMeas")),
            ("TrgOps", CHANGES.to_bitstring()),
            ("OptFlds", FIELDS.to_bitstring()),
        ):
            told = refused(lambda a=attribute, v=value: client.write(name(device, f"{block}${a}"), v))
            assert told == ("access", UNAVAILABLE), attribute
    with device.client() as client:
        unknown = VisibleStringData(f"{device.domain}/LLN0$dsNone")
        assert refused(lambda: client.write(name(device, f"{block}$DatSet"), unknown)) == ("access", INVALID)
        assert refused(lambda: client.write(name(device, f"{block}$SqNum"), UIntData(5)))[0] == "access"
        if "$BR$" in block:
            entry = OctetStringData(b"\x11" * 8)
            assert refused(lambda: client.write(name(device, f"{block}$EntryID"), entry)) == ("access", INVALID)


def unbuffered_refuses_changes(device: Device) -> None:
    _refuses_changes(device, f"{UNBUFFERED}01")


def buffered_refuses_changes(device: Device) -> None:
    _refuses_changes(device, f"{BUFFERED}01")


def _one_client_only(device: Device, block: str) -> None:
    with reporting(device, block, settings()), device.client() as other:
        assert refused(lambda: enable(other, name(device, block), settings())) == ("access", UNAVAILABLE)
        assert refused(lambda: other.write(name(device, f"{block}$RptEna"), BoolData(False))) == ("access", UNAVAILABLE)


def unbuffered_has_one_client(device: Device) -> None:
    """A block that another client has is neither configured nor disabled by a second."""
    _one_client_only(device, f"{UNBUFFERED}01")


def buffered_has_one_client(device: Device) -> None:
    _one_client_only(device, f"{BUFFERED}01")
