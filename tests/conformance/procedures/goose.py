"""GOOSE: what is shown over MMS, what is sent, what is heard."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

from open61850.data import BoolData, UIntData, VisibleStringData
from open61850.goose import GoosePDU, decode_goose_pdu

from agent.goose.link import open_link
from agent.goose.stream import Stream
from agent.logic.messages import Position
from agent.mms.tree import Goose
from agent.station.compile import agent_config
from tests.conformance.asking import name, names, refused
from tests.conformance.device import NAME, Device

GOOSE_PDU = 0x61


def _described(device: Device) -> dict[str, Goose]:
    return {
        f"{node.name}$GO${block.name}": block for node in device.offered.tree.devices[0].nodes for block in node.goose
    }


def blocks_are_listed(device: Device) -> None:
    """Names, data set, identifier, revision, times, as the SCL says."""
    with device.client() as client:
        described = _described(device)
        assert names(client, device, "GO") == sorted(described)
        for item, block in described.items():
            parts = ("GoID", "DatSet", "ConfRev", "MinTime", "MaxTime")
            values = [value.value for value in client.read_many([name(device, f"{item}${part}") for part in parts])]
            data_set = f"{device.domain}/LLN0${block.data_set}"
            assert values == [block.go_id, data_set, block.conf_rev, block.min_ms, block.max_ms]


def _stream(device: Device) -> Stream:
    return agent_config(device.bench.options(NAME)).report_out


def _sent(
    device: Device, enough: Callable[[list[GoosePDU]], bool], then: Callable[[], None] = lambda: None
) -> list[GoosePDU]:
    """What the agent publishes, in a decoder of others, until it is enough; ``then`` is done after the first."""
    stream = _stream(device)
    link = open_link(device.bench.bays[NAME].spec(stream))
    found: list[GoosePDU] = []
    try:
        end = time.monotonic() + 20
        while not enough(found):
            assert time.monotonic() < end, found
            for heard in link.receive():
                before = len(found)
                found += [pdu for pdu in [_decoded(heard.payload)] if pdu.gocb_ref == stream.gocb_ref]
                if found and not before:
                    then()
            time.sleep(0.002)
    finally:
        link.close()
    return found


def _decoded(payload: bytes) -> GoosePDU:
    """The PDU in a session payload: the first element of its tag that ends within it."""
    for at in range(len(payload)):
        if payload[at] == GOOSE_PDU and payload[at + 1 : at + 2] in (b"\x81", b"\x82"):
            octets = payload[at + 1] - 0x80
            size = int.from_bytes(payload[at + 2 : at + 2 + octets])
            if at + 2 + octets + size <= len(payload):
                return decode_goose_pdu(payload[at : at + 2 + octets + size], strict=True)
    raise AssertionError("no GOOSE in the payload")


def publishes_repeatedly(device: Device) -> None:
    """With nothing new: one state number, sequence numbers without a gap, before the time to live is over."""
    heard = _sent(device, lambda found: len(found) >= 4 and len({p.st_num for p in found[-4:]}) == 1)[-4:]
    assert [pdu.sq_num for pdu in heard] == list(range(heard[0].sq_num, heard[0].sq_num + 4))
    assert len({pdu.timestamp for pdu in heard}) == 1
    block = next(one for item, one in _described(device).items() if item.endswith("gcbFlisr"))
    assert all(pdu.time_allowed_to_live >= block.max_ms for pdu in heard)


def publishes_as_described(device: Device) -> None:
    """References, identifier, revision and number of entries are the SCL's; not simulated, no commissioning needed."""
    (pdu, *_) = _sent(device, lambda found: len(found) >= 1)
    block = next(one for item, one in _described(device).items() if item.endswith("gcbFlisr"))
    with device.client() as client:
        members = client.get_data_set_members(name(device, f"LLN0${block.data_set}"))
    assert pdu.gocb_ref == f"{device.domain}/LLN0$GO${block.name}"
    assert pdu.dat_set == f"{device.domain}/LLN0${block.data_set}"
    assert (pdu.go_id, pdu.conf_rev) == (block.go_id, block.conf_rev)
    assert len(pdu.all_data) == len(members)
    assert (pdu.nds_com, pdu.simulation) == (False, False)


def publishes_changes_at_once(device: Device) -> None:
    """The position changes: the next state number, sequence number 0, repeated at shorter intervals first."""

    def changed(found: list[GoosePDU]) -> bool:
        return any(pdu.st_num > found[0].st_num and pdu.sq_num >= 2 for pdu in found)

    began = time.time()
    heard = _sent(device, changed, lambda: device.put(Position.OPEN))
    firsts = [pdu for pdu in heard if pdu.sq_num == 0]
    assert firsts
    numbers = [pdu.st_num for pdu in heard]
    assert numbers == sorted(numbers)
    assert all(_seconds(pdu.timestamp) > began - 5 for pdu in firsts[1:])


def _seconds(t: object) -> float:
    return t.timestamp() if isinstance(t, datetime) else 0.0


def refuses_to_change_blocks(device: Device) -> None:
    """Publishing cannot be stopped from outside, nor the block be changed."""
    with device.client() as client:
        for item in _described(device):
            for part, value in (
                ("GoEna", BoolData(False)),
                ("GoID", VisibleStringData("x")),
                ("ConfRev", UIntData(9)),
                ("DatSet", VisibleStringData("x")),
            ):
                assert refused(lambda i=item, p=part, v=value: client.write(name(device, f"{i}${p}"), v))[0] == "access"
    _sent(device, lambda found: len(found) >= 2)


def refuses_unknown_blocks(device: Device) -> None:
    with device.client() as client:
        for item in ("LLN0$GO$none", "LLN0$GO$none$GoID", "XCBR1$GO$gcbFlisr"):
            assert refused(lambda i=item: client.read(name(device, i)))[0] == "access"


def _supervision(device: Device) -> str:
    """The LGOS of the breaker's stream."""
    nodes = (node for node in device.offered.tree.devices[0].nodes if node.ln_class == "LGOS")
    with device.client() as client:
        for node in nodes:
            told = client.read(name(device, f"{node.name}$SP$GoCBRef$setSrcRef")).value
            if told.endswith("gcbPos"):
                return node.name
    raise AssertionError("no LGOS for the breaker")


def hears_and_shows(device: Device) -> None:
    """A published position is in the model, good; the subscription is shown as alive, with its last state number."""
    node = _supervision(device)
    with device.client() as client:
        assert client.read(name(device, f"{node}$ST$St$stVal")).value is True
        device.put(Position.OPEN)
        device.until(lambda: client.read(name(device, "XCBR1$ST$Pos$stVal")).value[0] >> 6 == 1)
        number = device.bench.bays[NAME].publisher.st_num
        device.until(lambda: client.read(name(device, f"{node}$ST$LastStNum$stVal")).value == number)
        assert client.read(name(device, "XCBR1$ST$Pos$q")).value[0] & 0xC0 == 0


def notices_silence(device: Device) -> None:
    """Nothing within the time to live: not alive, old data, bad state; alive again when it is heard again."""
    node, bay = _supervision(device), device.bench.bays[NAME]
    with device.client() as client:
        bay.silent = True
        try:
            device.until(lambda: client.read(name(device, f"{node}$ST$St$stVal")).value is False)
            device.until(lambda: client.read(name(device, "XCBR1$ST$Pos$stVal")).value[0] >> 6 == 3)
            assert client.read(name(device, "XCBR1$ST$Pos$q")).value[0] & 0xC0 != 0
        finally:
            bay.silent = False
            bay.tell()
        device.until(lambda: client.read(name(device, f"{node}$ST$St$stVal")).value is True)


def ignores_what_is_not_right(device: Device) -> None:
    """Altered, cut and empty frames of the breaker's stream change nothing that is shown."""
    bay = device.bench.bays[NAME]
    tape, spoiler = open_link(bay.spec(bay.told)), open_link(bay.spec(bay.told))
    bay.tell()
    payloads: list[bytes] = []
    device.until(lambda: payloads.extend(heard.payload for heard in tape.receive()) or len(payloads) >= 1)
    with device.client() as client:
        for place in (8, 40, len(payloads[0]) // 2, -1):
            wrong = bytearray(payloads[0])
            wrong[place] ^= 0xFF
            spoiler.send(bytes(wrong), bay.told.group)
        for cut in (b"", payloads[0][:20], payloads[0][:-1]):
            spoiler.send(cut or b"\x00", bay.told.group)
        time.sleep(0.3)
        assert client.read(name(device, "XCBR1$ST$Pos$stVal")).value[0] >> 6 == 2
        assert client.read(name(device, "XCBR1$ST$Pos$q")).value[0] & 0xC0 == 0
    tape.close()
    spoiler.close()
