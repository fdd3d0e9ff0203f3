"""tshark on everything we send, and on captures of others: each field equal to ours."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agent.goose import codec, frame, session
from agent.goose.codec import Data, Kind, Pdu, UtcTime, encode, utc_time
from agent.goose.dataset import command_data_set, report_data_set, status_data_set
from agent.goose.frame import Envelope
from agent.goose.publisher import Publisher
from agent.logic.messages import BreakerCommand
from agent.security.frames import Algorithm, Key, make_key
from tests.goose.lab import (
    CAPTURES,
    KEY,
    NOW,
    REPORT,
    STATUS,
    find,
    read_pcap,
    stream,
    tshark,
    tshark_json,
    udp_frame,
    write_pcap,
)

pytestmark = pytest.mark.peer

KNOWN = "zero-byte GOOSE PDU"
"""tshark's word on the 62351-6 extension, which it does not know."""
SOURCE = bytes.fromhex("020000000001")
GMAC = make_key(8, Algorithm.AES_GMAC_128, bytes(range(16)), valid_from_us=NOW)
FIELDS = {
    Kind.BOOLEAN: "goose.boolean",
    Kind.INTEGER: "goose.integer",
    Kind.UNSIGNED: "goose.unsigned",
    Kind.FLOAT: "goose.float_value",
    Kind.OCTET_STRING: "goose.octet_string",
    Kind.VISIBLE_STRING: "goose.visible_string",
    Kind.MMS_STRING: "goose.mMSString",
    Kind.UTC_TIME: "goose.utc_time",
    Kind.BIT_STRING: "goose.bit_string",
    Kind.STRUCTURE: "goose.structure_tree",
    Kind.ARRAY: "goose.array_tree",
}


def seconds(text: str) -> float:
    """``Jan 15, 2027 08:00:00.123456001 UTC`` as UTC seconds."""
    match = re.fullmatch(r"(.*)\.(\d{9}) UTC", text)
    assert match is not None, text
    whole = datetime.strptime(match[1], "%b %d, %Y %H:%M:%S").replace(tzinfo=UTC).timestamp()
    return whole + int(match[2]) / 1e9


def flag(text: str) -> bool:
    return text in ("1", "True", "true")


def same_value(data: Data, tree: dict[str, Any]) -> None:
    """One member as tshark shows it."""
    shown = tree[FIELDS[data.kind]][0]
    value = data.value
    match data.kind:
        case Kind.BOOLEAN:
            assert flag(shown) == value
        case Kind.INTEGER | Kind.UNSIGNED:  # tshark keeps 32 bits of them
            assert isinstance(value, int)
            assert (int(shown) - value) % (1 << 32) == 0
        case Kind.FLOAT:
            assert float(shown) == pytest.approx(value, rel=1e-5)
        case Kind.OCTET_STRING:
            assert isinstance(value, bytes)
            assert shown.replace(":", "") == value.hex()
        case Kind.VISIBLE_STRING | Kind.MMS_STRING:
            assert shown == value
        case Kind.UTC_TIME:
            assert isinstance(value, UtcTime)
            assert seconds(shown) == pytest.approx(value.microseconds / 1e6, abs=2e-6)
        case Kind.BIT_STRING:
            assert isinstance(value, int)
            padding = int(tree["ber.bitstring.padding"][0])
            octets = bytes.fromhex(shown.replace(":", ""))
            assert len(octets) * 8 - padding == data.size
            assert int.from_bytes(octets, "big") >> padding == value
        case _:
            assert isinstance(value, tuple)
            same_values(value, shown)


def same_values(values: tuple[Data, ...], tree: dict[str, Any]) -> None:
    assert [str(int(value.kind)) for value in values] == tree.get("goose.Data", [])
    for value, shown in zip(values, tree.get("goose.Data_tree", []), strict=True):
        same_value(value, shown)


def same_pdu(pdu: Pdu, layers: dict[str, Any]) -> None:
    """Every field of a PDU."""
    shown = find(layers, "goose.goosePdu_element")[0]
    assert shown["goose.gocbRef"] == [pdu.gocb_ref]
    assert int(shown["goose.timeAllowedtoLive"][0]) == pdu.ttl_ms
    assert shown["goose.datSet"] == [pdu.dat_set]
    assert shown.get("goose.goID", [None]) == [pdu.go_id]
    assert seconds(shown["goose.t"][0]) == pytest.approx(pdu.t.microseconds / 1e6, abs=2e-6)
    assert int(shown["goose.stNum"][0]) == pdu.st_num
    assert int(shown["goose.sqNum"][0]) == pdu.sq_num
    assert flag(shown["goose.simulation"][0]) == pdu.simulation
    assert int(shown["goose.confRev"][0]) == pdu.conf_rev
    assert flag(shown["goose.ndsCom"][0]) == pdu.nds_com
    assert int(shown["goose.numDatSetEntries"][0]) == len(pdu.data)
    same_values(pdu.data, shown["goose.allData_tree"][0] if pdu.data else {})


def experts(path: Path) -> list[str]:
    """Expert items of a capture, other than the known one."""
    shown = tshark(path, "-T", "fields", "-e", "_ws.expert.message").splitlines()
    return [line for line in shown if line and KNOWN not in line]


ALL_TYPES = Pdu(
    "A/LLN0$GO$g",
    4000,
    "A/LLN0$d",
    None,
    utc_time(NOW, 0x6A),
    0xFFFFFFFF,
    7,
    True,
    9,
    True,
    (
        Data(Kind.STRUCTURE, (Data(Kind.BOOLEAN, True), Data(Kind.STRUCTURE, (Data(Kind.INTEGER, -5, 2),)))),
        Data(Kind.ARRAY, (Data(Kind.UNSIGNED, 200, 2), Data(Kind.UNSIGNED, 70000, 5))),
        Data(Kind.FLOAT, -1.25, 4),
        Data(Kind.OCTET_STRING, b"\x01\x02"),
        Data(Kind.VISIBLE_STRING, "visible"),
        Data(Kind.MMS_STRING, "unicode"),
        Data(Kind.UTC_TIME, utc_time(NOW)),
        Data(Kind.BIT_STRING, 0b1000000000001, 13),
    ),
)


@pytest.mark.parametrize("key", [None, KEY, GMAC], ids=["plain", "HMAC", "GMAC"])
def test_every_field_of_our_layer_2_frames(tmp_path: Path, key: Key | None) -> None:
    frames = []
    report, order, status = report_data_set(12, 12), command_data_set(), status_data_set()
    for vlan in (None, (5, 6)):
        for data_set, message in ((report, REPORT), (order, BreakerCommand(True, 3, NOW, True)), (status, STATUS)):
            for simulation in (False, True):
                publisher: Publisher[Any] = Publisher(
                    stream(data_set, vlan=vlan), data_set, key, source=SOURCE, simulation=simulation  # type: ignore[arg-type]
                )  # fmt: skip
                frames.append(publisher.publish(message, NOW))
                again = publisher.timer(NOW + 4000)
                assert again is not None
                frames.append(again)
        frames.append(Envelope(bytes.fromhex("010ccd010001"), SOURCE, 1, vlan=vlan, key=key).seal(encode(ALL_TYPES)))
    write_pcap(tmp_path / "goose.pcap", frames)
    shown = tshark_json(tmp_path / "goose.pcap")
    assert len(shown) == len(frames)
    for octets, layers in zip(frames, shown, strict=True):
        view = frame.parse(octets)
        goose = layers["goose"][0]
        assert int(goose["goose.appid"][0], 16) == view.appid
        assert int(goose["goose.length"][0]) == len(octets) - (14 if view.vlan is None else 18)
        assert int(goose["goose.reserve1"][0], 16) == view.reserved1
        assert flag(find(goose, "goose.reserve1.s_bit")[0]) == view.simulation
        if view.vlan is not None:
            vlan_layer = layers["vlan"][0]
            assert (int(vlan_layer["vlan.id"][0]), int(vlan_layer["vlan.priority"][0])) == view.vlan
        same_pdu(codec.decode(view.apdu), layers)
    assert experts(tmp_path / "goose.pcap") == []


@pytest.mark.parametrize("key", [None, KEY, GMAC], ids=["plain", "HMAC", "GMAC"])
def test_every_field_of_our_sessions(tmp_path: Path, key: Key | None) -> None:
    data_set = report_data_set(12, 12)
    publisher = Publisher(stream(data_set, routed=True), data_set, key)
    payloads = [publisher.publish(REPORT._replace(claim_number=number), NOW + number) for number in range(3)]
    write_pcap(tmp_path / "rgoose.pcap", [udp_frame(payload) for payload in payloads])
    shown = tshark_json(tmp_path / "rgoose.pcap")
    for payload, layers in zip(payloads, shown, strict=True):
        view = session.parse(payload)
        assert int(find(layers, "rgoose.spdu_num")[0]) == view.number
        assert int(find(layers, "rgoose.version")[0], 16) == 2
        assert int(find(layers, "rgoose.key_id")[0], 16) == view.key
        assert int(find(layers, "rgoose.appid")[0], 16) == view.appid
        assert int(find(layers, "rgoose.apdu_len")[0], 16) == len(view.apdu) + 2
        assert "".join(find(layers, "rgoose.init_v")).replace(":", "") == view.iv.hex()
        macs = find(layers, "rgoose.hmac")
        if key is None:
            assert macs == []
        else:
            assert macs[0].replace(":", "") == b"\x85\x10".hex() + view.mac.hex()
        same_pdu(codec.decode(view.apdu), layers)
    assert experts(tmp_path / "rgoose.pcap") == []


@pytest.mark.parametrize("name", ["GOOSE.pcap", "GOOSE_DEMO.pcap", "Sample_File_GOOSE.pcap"])
def test_captures_decode_as_tshark_decodes_them(name: str) -> None:
    path = CAPTURES / name
    frames = [octets for octets in read_pcap(path) if octets[12:14] == b"\x88\xb8" or octets[16:18] == b"\x88\xb8"]
    shown = tshark_json(path, "-Y", "goose")
    assert len(frames) == len(shown) > 0
    for octets, layers in zip(frames, shown, strict=True):
        pdu = codec.decode(frame.parse(octets).apdu)
        same_pdu(pdu, layers)
        assert codec.decode(encode(pdu)) == pdu
