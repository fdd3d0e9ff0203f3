"""The compiled core and this codec write the same octets and verify each other's frames."""

from __future__ import annotations

import pytest

from agent.security.frames import Algorithm, Key
from agent.security.ring import KeyGroup
from agent.sv.codec import encode
from agent.sv.frame import open_payload, sealer

core = pytest.importorskip("agent.core", reason="the compiled core is not built (pip install -e .)")
SECRET = bytes(range(32))
KEY = Key(7, Algorithm.HMAC_SHA256_128, SECRET)
MAC = "01-0C-CD-04-00-01"


@pytest.mark.parametrize("layout", ["LE80_50", "LE80_60", "F4800_50"])
@pytest.mark.parametrize("routed", [False, True], ids=["layer-2", "routed"])
def test_the_cores_frames(layout: str, routed: bool) -> None:
    link = core.Multicast("239.1.1.1", 10102) if routed else core.Layer2("lo", MAC, (3, 4))
    source = core.SvSource(core.SvSourceConfig("F1_MU01", 0x4001, link, core.Layout[layout], 5, core.Key(7, SECRET)))
    octets = source.frame(1_800_000_000, 40)
    opened = open_payload(octets, KeyGroup((KEY,)), routed=routed)
    assert opened.appid == 0x4001
    assert [asdu.smp_cnt for asdu in opened.pdu.asdus] == list(range(40, 40 + core.Layout[layout].asdus))
    assert {(asdu.sv_id, asdu.conf_rev, len(asdu.channels)) for asdu in opened.pdu.asdus} == {("F1_MU01", 5, 8)}
    ours = sealer(0x4001, KEY, mac="" if routed else MAC, vlan=None if routed else (3, 4))(encode(opened.pdu))
    if routed:  # the datagram's number, and so the MAC, differs
        assert (ours[:10], ours[14:-16], len(ours)) == (octets[:10], octets[14:-16], len(octets))
    else:
        assert ours[12:] == octets[12:]
        assert ours[:6] == octets[:6]
