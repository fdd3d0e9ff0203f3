"""Published frames by tshark's word: every field, and no expert item but the known one on the security extension."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from agent.core import Key, Layer2, Layout, SvSource, SvSourceConfig

FIELDS = (
    "sv.appid",
    "sv.noASDU",
    "sv.svID",
    "sv.smpCnt",
    "sv.confRev",
    "sv.smpRate",
    "sv.smpSynch",
    "_ws.expert.message",
)
KNOWN = "Internal error, zero-byte SV PDU"


@pytest.mark.peer
@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
@pytest.mark.parametrize("layout", list(Layout))
@pytest.mark.parametrize("vlan", [None, (5, 4)])
@pytest.mark.parametrize("key", [None, Key(1, b"laboratory key of 32 octets long")])
def test_tshark_reads_every_field(
    tmp_path: Path, layout: Layout, vlan: tuple[int, int] | None, key: Key | None
) -> None:
    link = Layer2("lo", "01-0C-CD-04-00-01", vlan)
    source = SvSource(SvSourceConfig("X_MU01", 0x4001, link=link, layout=layout, key=key, conf_rev=3))
    frame = source.frame(1_700_000_000, 40)
    capture = tmp_path / "sv.pcap"
    header = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    capture.write_bytes(header + struct.pack("<IIII", 1, 0, len(frame), len(frame)) + frame)
    options = [option for field in FIELDS for option in ("-e", field)]
    run = subprocess.run(
        ["tshark", "-r", str(capture), "-T", "fields", "-E", "separator=;", *options],
        capture_output=True,
        text=True,
        check=True,
    )
    n = layout.asdus
    rates = ",".join([str(layout.rate)] * n) if layout.optional else ""
    counts, ids = ",".join(str(40 + i) for i in range(n)), ",".join(["X_MU01"] * n)
    expected = ["0x4001", str(n), ids, counts, ",".join(["3"] * n), rates, ",".join(["2"] * n), KNOWN if key else ""]
    assert run.stdout.strip("\n").split(";") == expected
