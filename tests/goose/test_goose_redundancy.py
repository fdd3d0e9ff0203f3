"""What HSR and PRP (IEC 62439-3) add to a frame is passed over; the second of two frames is a duplicate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.goose.codec import CodecError, decode, tlv
from agent.goose.dataset import status_data_set
from agent.goose.endpoint import Endpoint
from agent.goose.frame import FRAME_MAX, Envelope, parse
from agent.goose.publisher import Publisher
from agent.goose.subscriber import Accepted, Drop, Dropped, Subscriber
from agent.security.frames import PROFILES, Profile, parse_extension
from tests.goose.lab import KEY, NOW, STATUS, Ether, find, stream, tshark, tshark_json, write_pcap

VLANS = [None, (5, 6)]
vlans = pytest.mark.parametrize("vlan", VLANS, ids=["untagged", "tagged"])


def at(octets: bytes) -> int:
    """Where the EtherType is, or goes."""
    return 16 if octets[12:14] == b"\x81\x00" else 12


def hsr(octets: bytes, number: int = 77) -> bytes:
    """With the tag of a ring."""
    begin = at(octets)
    tag = b"\x89\x2f" + (len(octets) - begin + 4).to_bytes(2, "big") + number.to_bytes(2, "big")
    return octets[:begin] + tag + octets[begin:]


def prp(octets: bytes, number: int = 77, lan: int = 0xA) -> bytes:
    """With the trailer of one of two networks."""
    size = len(octets) - at(octets) - 2 + 6
    return octets + number.to_bytes(2, "big") + (lan << 12 | size).to_bytes(2, "big") + b"\x88\xfb"


def published(vlan: tuple[int, int] | None, profile: Profile = PROFILES["trailing"]) -> bytes:
    data_set = status_data_set()
    return Publisher(stream(data_set, vlan=vlan), data_set, KEY, profile=profile).publish(STATUS, NOW)


@vlans
@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
def test_the_frame_inside_is_the_same(profile: Profile, vlan: tuple[int, int] | None) -> None:
    octets = published(vlan, profile)
    plain = parse(octets, profile=profile)
    assert plain.vlan == vlan
    for dressed in (hsr(octets), prp(octets), prp(octets, lan=0xB)):
        view = parse(dressed, profile=profile)
        assert view == plain
        extension = parse_extension(view.extension, profile)
        assert KEY.verifies(view.domain, extension.mac)


@vlans
def test_of_two_paths_the_first_counts(vlan: tuple[int, int] | None) -> None:
    octets = published(vlan)
    for one, other in ((hsr(octets), hsr(octets, 78)), (prp(octets), prp(octets, lan=0xB)), (octets, hsr(octets))):
        data_set = status_data_set()
        endpoint = Endpoint(Ether(), (), [Subscriber(stream(data_set), data_set, (KEY,))])
        assert isinstance(endpoint.take(one, NOW)[1], Accepted)
        assert endpoint.take(other, NOW + 10)[1] == Dropped(Drop.DUPLICATE)


@pytest.mark.parametrize("vlan", [(5, 6)])
def test_the_longest_frame_may_be_dressed_and_no_longer_one(vlan: tuple[int, int]) -> None:
    envelope = Envelope(bytes(6), bytes(6), 1, vlan=vlan, key=KEY)
    room = FRAME_MAX - len(envelope.seal(b"\x61\x00")) - 2
    longest = envelope.seal(tlv(0x61, bytes(room)))
    assert len(longest) == FRAME_MAX
    for dressed in (hsr(longest), prp(longest)):
        assert parse(dressed).apdu == parse(longest).apdu
        with pytest.raises(CodecError) as caught:
            parse(dressed[:-6] + b"\0" + dressed[-6:])
        assert caught.value.cause in ("oversized", "malformed")
    with pytest.raises(CodecError) as caught:
        parse(longest + bytes(4) + b"\x88\xfb")  # not a trailer: its size does not fit
    assert caught.value.cause == "oversized"


@pytest.mark.parametrize("size", range(12, 30))
def test_cut_frames_are_refused(size: int) -> None:
    for octets in (hsr(published(None)), hsr(published((5, 6)))):
        with pytest.raises(CodecError):
            parse(octets[:size])
        assert isinstance(Endpoint(Ether()).take(octets[:size], NOW)[1], Dropped)


@pytest.mark.peer
def test_tshark_sees_tag_and_trailer_and_the_goose_inside(tmp_path: Path) -> None:
    plain = [published(vlan) for vlan in VLANS]
    frames = [hsr(octets) for octets in plain] + [prp(octets, lan=lan) for octets in plain for lan in (0xA, 0xB)]
    write_pcap(tmp_path / "redundant.pcap", frames)
    shown = tshark_json(tmp_path / "redundant.pcap", "--enable-protocol", "prp")
    for number, layers in enumerate(shown):
        view, pdu = layers["goose"][0], find(layers, "goose.goosePdu_element")[0]
        assert int(view["goose.appid"][0], 16) == parse(frames[number]).appid
        assert pdu["goose.gocbRef"] == [decode(parse(frames[number]).apdu).gocb_ref]
        tag, trailer = find(layers, "hsr.sequence_nr"), find(layers, "prp.trailer.prp_sequence_nr")
        assert (tag, trailer) == ((["77"], []) if number < 2 else ([], ["77"]))
    assert [int(find(layers, "prp.trailer.prp_lan")[0]) for layers in shown[2:]] == [0xA, 0xB] * 2


@pytest.mark.peer
def test_tshark_finds_the_quality_of_our_time_where_we_put_it(tmp_path: Path) -> None:
    """It shows the time only; of its octets the last one is the quality."""
    data_set = status_data_set()
    publisher: Publisher[Any] = Publisher(stream(data_set), data_set, KEY)
    endpoint = Endpoint(Ether(), (publisher,))
    wanted, frames = [], []
    for good, told, quality in ((True, None, 0x0A), (True, 0x8A, 0x8A), (False, 0xD3, 0xF3), (False, None, 0x3F)):
        endpoint.time_quality(good, told)
        frames.append(publisher.publish(STATUS, NOW))
        wanted.append(quality)
        repeated = publisher.timer(publisher.deadline or 0)
        assert repeated is not None
        frames.append(repeated)
        wanted.append(quality)
    assert [decode(parse(octets).apdu).t.quality for octets in frames] == wanted
    write_pcap(tmp_path / "time.pcap", frames)
    shown = tshark_json(tmp_path / "time.pcap", "-x")
    assert [int(find(layers, "goose.t_raw")[0][0][14:16], 16) for layers in shown] == wanted
    assert "UTC" in tshark(tmp_path / "time.pcap", "-T", "fields", "-e", "goose.t")
