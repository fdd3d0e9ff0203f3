"""Sampled Values with programs that we did not write: tshark, libiec61850, a public generator's capture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.goose.codec import UtcTime
from agent.security.frames import Key
from agent.security.ring import KeyGroup
from agent.sv.codec import Asdu, Pdu, Quality, encode, pack_channels
from agent.sv.frame import Opened, open_payload, sealer
from tests.goose.lab import CAPTURES, KEY, find, in_namespace, read_pcap, tshark, tshark_json, udp_frame, write_pcap
from tests.goose.test_goose_tshark import seconds

pytestmark = pytest.mark.peer

KNOWN = "zero-byte SV PDU"
CHANNELS = pack_channels(
    ((1, 0), (-2, Quality.TEST), (3, Quality.INVALID), (4, 0), (5, 0), (6, 0), (7, 0), (8, Quality.DERIVED))
)
LE = Asdu("F1_MU01", 3999, 1, 2, CHANNELS)
FULL = LE._replace(
    dat_set="F1_MU01/LLN0$PhsMeas1",
    refr_tm=UtcTime(1_800_000_000, 5 << 20, 0x0A),
    smp_rate=4800,
    smp_mod=1,
    smp_synch=1,
    gm_identity=b"12345678",
)


def same(opened: Opened, layers: dict[str, Any]) -> None:
    """Every field of a frame as tshark shows it."""
    shown = layers["sv"][0]
    assert int(shown["sv.appid"][0], 16) == opened.appid
    assert int(find(shown, "sv.noASDU")[0]) == len(opened.pdu.asdus)
    trees = find(shown, "sv.ASDU_element")
    for asdu, tree in zip(opened.pdu.asdus, trees, strict=True):
        assert tree["sv.svID"] == [asdu.sv_id]
        assert tree.get("sv.datSet", [None]) == [asdu.dat_set]
        assert int(tree["sv.smpCnt"][0]) == asdu.smp_cnt
        assert int(tree["sv.confRev"][0]) == asdu.conf_rev
        assert int(tree["sv.smpSynch"][0]) == asdu.smp_synch
        assert bytes.fromhex(tree["sv.seqData"][0].replace(":", "")) == asdu.data
        for name, value in (("sv.smpRate", asdu.smp_rate), ("sv.smpMod", asdu.smp_mod)):
            assert [int(text) for text in tree.get(name, [])] == ([] if value is None else [value])
        if asdu.refr_tm is None:
            assert "sv.refrTm" not in tree
        else:
            assert seconds(tree["sv.refrTm"][0]) == pytest.approx(asdu.refr_tm.microseconds / 1e6, abs=2e-6)
        identity = "".join(find(tree, "sv.gmidentity")).replace(":", "").removeprefix("0x")
        assert identity == ("" if asdu.gm_identity is None else asdu.gm_identity.hex())


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "authentic"])
def test_every_field_by_tshark(tmp_path: Path, key: Key | None) -> None:
    path = tmp_path / "sv.pcap"
    frames = [
        sealer(0x4001, key, mac="01-0C-CD-04-00-01", vlan=vlan)(encode(Pdu(asdus)))
        for vlan in (None, (3, 4))
        for asdus in ((LE,), (FULL, FULL._replace(smp_cnt=4000)), (LE._replace(data=CHANNELS * 3, smp_synch=77),))
    ]
    write_pcap(path, frames)
    for octets, layers in zip(frames, tshark_json(path), strict=True):
        same(open_payload(octets, None if key is None else KeyGroup((key,))), layers)
    shown = tshark(path, "-T", "fields", "-e", "_ws.expert.message").splitlines()
    assert [line for line in shown if line and KNOWN not in line] == []


def test_qualities_by_tshark(tmp_path: Path) -> None:
    """tshark names the bits when told that samples are values with quality."""
    path = tmp_path / "sv.pcap"
    write_pcap(path, [sealer(0x4001, mac="01-0C-CD-04-00-01")(encode(Pdu((LE,))))])
    shown = tshark(
        path, "-o", "sv.decode_data_as_phsmeas:TRUE", "-T", "fields", "-e", "sv.meas_value", "-e", "sv.meas_quality"
    )
    values, qualities = shown.strip().split("\t")
    assert [int(text) for text in values.split(",")] == [value for value, _ in LE.channels]
    assert [int(text, 16) for text in qualities.split(",")] == [quality for _, quality in LE.channels]


def test_a_routed_frame_is_a_session_for_tshark(tmp_path: Path) -> None:
    """tshark 4.0 shows R-SV as data; at least nothing in it is an error."""
    path = tmp_path / "rsv.pcap"
    write_pcap(path, [udp_frame(sealer(0x4001, KEY)(encode(Pdu((LE,)))))])
    assert tshark(path, "-T", "fields", "-e", "_ws.expert.message").strip() == ""


def test_a_public_capture_decodes_as_tshark_decodes_it() -> None:
    path = CAPTURES / "sv" / "seapath_gen_2streams_400_50Hz.pcap"
    frames, shown = read_pcap(path), tshark_json(path)
    assert len(frames) == len(shown) == 800
    for octets, layers in zip(frames, shown, strict=True):
        same(open_payload(octets), layers)


@pytest.mark.namespaces
@pytest.mark.parametrize("authentic", ["plain", "authentic"])
def test_libiec61850_hears_our_samples(authentic: str) -> None:
    result = in_namespace("peers", "libiec61850_hears_sv", authentic)
    heard: list[dict[str, Any]] = []
    for item in result["heard"]:  # frames are repeated until heard, and the binding may call back twice
        if not heard or heard[-1] != item:
            heard.append(item)
    assert [{name: item[name] for name in ("smp_cnt", "values")} for item in heard] == result["sent"]
    for item in heard:
        assert (item["sv_id"], item["conf_rev"]) == ("F1_MU01", 1)
        assert item["qualities"] == [0, 0, 0, 0x800, 0, 0, 0, 0]


@pytest.mark.namespaces
def test_we_hear_libiec61850s_samples() -> None:
    result = in_namespace("peers", "we_hear_libiec61850_sv")
    assert result["appid"] == 0x4001
    for number, asdu in enumerate(result["asdus"]):
        assert asdu[:6] == [f"unit{number}", 40 + number, 5, 2, 4800, 1]
        assert asdu[6] == pytest.approx(1_800_000_000_250_000, abs=1000)
        assert asdu[7] == [-k * (number + 1) for k in range(16)]
