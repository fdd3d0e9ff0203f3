"""Hostile, broken and dying clients at a real agent: each is dealt with, and an honest one is answered after it.

The agent is whole (two processes, ``tests/conformance/device.py``); octets are those that a client of others sends,
altered; the honest client is of others, too.
"""

from __future__ import annotations

import contextlib
import os
import random
import select
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from open61850.mms import pdu
from open61850.mms.association import AssociationParameters, association_request
from open61850.mms.control import cancel_value, oper_value
from open61850.mms.errors import MmsError
from open61850.mms.rcb import RcbSettings, enable
from open61850.mms.report import TrgOps
from open61850.mms.transport import connection_request

from agent.logic.messages import Position
from agent.mms.association import ASSOCIATE_S, MESSAGE_S, WAITING_MAX
from tests.conformance.asking import POSITION, name, operate
from tests.conformance.device import CLIENTS_MAX, NAME, Device

pytestmark = pytest.mark.peer
SEED = int(os.environ.get("FLISR_HOSTILE_SEED", "61850"))
ALTERED = int(os.environ.get("FLISR_HOSTILE_FRAMES", "300"))
"""Altered conversations; more by hand: FLISR_HOSTILE_FRAMES=100000."""
CONNECTIONS = 1000
MEMORY_KB = 20_000
"""So much more at the most."""


@pytest.fixture(params=["plain", "TLS"])
def device(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Device]:
    """Its own for each test: the audit leaves lines out when there are many."""
    with Device(tmp_path, secured=request.param == "TLS") as made:
        yield made


@pytest.fixture(autouse=True)
def _goes_on(device: Device) -> Iterator[None]:
    """After every test: the same two processes, an answer to an honest client, and the switch where it was."""
    before = device.bench.pids(NAME)
    moves = (list(device.bench.bays[NAME].trips), list(device.bench.bays[NAME].closes))
    yield
    device.until(device.answers)
    assert device.bench.pids(NAME) == before
    assert device.bench.status(NAME)["restarts"] == 0
    assert (device.bench.bays[NAME].trips, device.bench.bays[NAME].closes) == moves
    assert device.events("mms_error") == []


def tpkt(payload: bytes) -> bytes:
    return b"\x03\x00" + (len(payload) + 4).to_bytes(2) + payload


def message(user_data: bytes) -> bytes:
    return tpkt(b"\x02\xf0\x80" + user_data)


def asked(service: bytes, number: int = 1) -> bytes:
    return message(pdu.wrap(pdu.confirmed_request(number, service)))


def conversation(device: Device) -> list[bytes]:
    """Frames of an honest client: connection, association, and one request of each kind."""
    position, unknown = name(device, "XCBR1$ST$Pos"), name(device, "NONE1$ST$Pos$stVal")
    services = [
        pdu.get_name_list_request(9),
        pdu.get_name_list_request(0, device.domain),
        pdu.get_variable_access_attributes_request(position),
        pdu.read_request([position, unknown]),
        pdu.read_request([name(device, "LLN0$BR$brcbStatus01")]),
        pdu.get_named_variable_list_attributes_request(name(device, "LLN0$dsStatus")),
        pdu.write_request([name(device, "LLN0$RP$urcbMeas01$RptEna")], [pdu.decode_data(0x83, b"\x01")]),
        b"\x82\x00",
        bytes.fromhex("bf4d00"),
    ]
    association = association_request(AssociationParameters())
    frames = [tpkt(connection_request()), message(association)]
    return frames + [asked(service, number) for number, service in enumerate(services, 1)]


def altered(frames: list[bytes], dice: random.Random) -> bytes:
    """The conversation with one thing wrong: octets changed, put in, taken out, doubled, cut; frames left out, doubled,
    in another order; lengths that lie. Below the outermost length the frame's own is put right as often as not, so
    that what is wrong gets past the first layer."""
    frames = list(frames)
    which = dice.randrange(len(frames))
    victim = bytearray(frames[which])
    kind = dice.randrange(9)
    at = dice.randrange(4, len(victim))
    if kind == 0:
        victim[at] ^= 1 << dice.randrange(8)
    elif kind == 1:
        victim[at] = dice.choice((0x00, 0x7F, 0x80, 0x81, 0x82, 0x84, 0x88, 0xFF))
    elif kind == 2:
        del victim[at : at + dice.randrange(1, 9)]
    elif kind == 3:
        victim[at:at] = dice.randbytes(dice.randrange(1, 9))
    elif kind == 4:
        victim[at:at] = victim[4 : dice.randrange(5, len(victim) + 1)]
    elif kind == 5:
        victim[at:] = dice.randbytes(len(victim) - at)
    elif kind == 6:
        del frames[which]
        return b"".join(frames)
    elif kind == 7:
        frames.insert(dice.randrange(len(frames)), frames[which])
        return b"".join(frames)
    else:
        victim[2:4] = dice.randrange(65_536).to_bytes(2)
        frames[which] = bytes(victim)
        return b"".join(frames)
    if dice.random() < 0.7:
        victim[2:4] = len(victim).to_bytes(2)
    frames[which] = bytes(victim)
    return b"".join(frames)


def throw(device: Device, octets: bytes, wait_s: float = 0.02) -> None:
    """To the agent, and away."""
    with contextlib.suppress(OSError), device.raw() as raw:
        raw.sendall(octets)
        raw.settimeout(wait_s)
        while raw.recv(65_536):
            pass


def test_altered_conversations_harm_nobody(device: Device) -> None:
    frames, dice = conversation(device), random.Random(SEED)
    for _ in range(ALTERED):
        throw(device, altered(frames, dice))
    whys = {str(event["why"]) for event in (*device.events("mms_ended"), *device.events("mms_refused"))}
    assert any("not understood" in why for why in whys), whys


def test_what_is_no_tls_is_refused(device: Device) -> None:
    """Beneath TLS: garbage, an honest client's plain octets, records cut and altered in the handshake."""
    dice, hello = random.Random(SEED), bytes.fromhex("160301020001")
    for _ in range(60):
        wrong = (dice.randbytes(300), b"".join(conversation(device)), hello + dice.randbytes(200))[dice.randrange(3)]
        with contextlib.suppress(OSError), device.bare() as bare:
            bare.sendall(wrong)
            bare.settimeout(0.02)
            bare.recv(65_536)


@pytest.mark.parametrize("layer", ["tpkt", "cotp", "session", "presentation", "mms"])
def test_garbage_at_each_layer_ends_the_association(device: Device, layer: str) -> None:
    """What comes behind a good head of the layers above."""
    dice = random.Random(SEED)
    frames = conversation(device)
    heads = {
        "tpkt": b"",
        "cotp": b"",
        "session": b"\x02\xf0\x80",
        "presentation": b"\x02\xf0\x80\x01\x00\x01\x00",
        "mms": b"\x02\xf0\x80\x01\x00\x01\x00",
    }
    for size in (0, 1, 2, 5, 40, 400, 4000):
        garbage = dice.randbytes(size)
        if layer == "mms":
            garbage = pdu.wrap(garbage)[4:]
        wrong = garbage if layer == "tpkt" else tpkt(heads[layer] + garbage)
        throw(device, wrong)
        throw(device, b"".join(frames[:2]) + wrong)


def test_messages_that_never_end_or_are_too_long_are_cut(device: Device) -> None:
    frames = conversation(device)
    part = tpkt(b"\x02\xf0\x00" + b"\x01\x00\x01\x00" + bytes(8000))
    with device.raw() as raw, contextlib.suppress(OSError):
        raw.sendall(b"".join(frames[:2]))
        for _ in range(200):
            raw.sendall(part)
    device.until(lambda: any("message too long" in event["why"] for event in device.events("mms_ended")))


def test_what_is_nested_deeper_than_anything_ends_the_association(device: Device) -> None:
    """Whoever unwraps it by recursion would fall: the station process did."""
    frames = conversation(device)
    for service in (0xA4, 0xA5, 0xA6, 0xAB):
        for depth in (30, 2000):
            nested = b""
            for _ in range(depth):
                nested = b"\xa2\x82" + len(nested).to_bytes(2) + nested
            request = bytes([service, 0x82]) + len(nested).to_bytes(2) + nested
            throw(device, b"".join(frames[:2]) + asked(request))
    device.until(lambda: any("nested too deep" in event["why"] for event in device.events("mms_ended")))


def test_slow_and_silent_clients_are_let_go_and_hinder_nobody(device: Device) -> None:
    """A connection without an association, half a handshake, a message octet by octet: each has its time, and its place
    is free after it."""
    device.at_rest()
    frames = conversation(device)
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(device.raw()) for _ in range(2)]
        half = stack.enter_context(device.raw())
        half.sendall(frames[0])
        slow = stack.enter_context(device.raw())
        slow.sendall(b"".join(frames[:2]))
        drip = frames[3] * 3
        began = time.monotonic()
        at = 0
        device.until(lambda: device.bench.status(NAME)["mms"] == len(silent) + 2)
        while device.bench.status(NAME)["mms"]:
            assert time.monotonic() - began < 3 * (ASSOCIATE_S + MESSAGE_S)
            with contextlib.suppress(OSError):
                slow.sendall(drip[at : at + 1])
            at = min(at + 1, len(frames[3]) - 2)
            assert device.answers()
            time.sleep(0.5)
    whys = {event["why"] for event in device.events("mms_ended")}
    assert f"no association within {ASSOCIATE_S:g} s" in whys
    assert f"a message of more than {MESSAGE_S:g} s" in whys


def test_a_thousand_connections_come_and_go(device: Device) -> None:
    """The audit says how many it has not said, memory and descriptors are as before."""
    device.at_rest()
    station = device.bench.pids(NAME)["station"]
    fds = len(os.listdir(f"/proc/{station}/fd"))
    before = device.bench.pss_kb(NAME)
    for number in range(CONNECTIONS):
        with contextlib.suppress(OSError), device.bare() as raw:
            if number % 3 == 0:
                raw.sendall(b"\x03")
    device.until(lambda: device.bench.status(NAME)["mms"] == 0)
    time.sleep(0.5)
    assert len(os.listdir(f"/proc/{station}/fd")) <= fds + 4
    assert device.bench.pss_kb(NAME) - before < MEMORY_KB
    lines = len(device.events("mms_ended")) + len(device.events("mms_associated"))
    lines += len(device.events("mms_refused"))
    assert lines < CONNECTIONS

    def said_how_many_are_missing() -> bool:
        """With the next line that is written."""
        throw(device, b"\x03\x00\x00\x01", 0.3)
        return any("left_out" in event for event in (*device.events("mms_ended"), *device.events("mms_refused")))

    device.until(said_how_many_are_missing)


def test_one_client_too_many_is_refused_by_name(device: Device) -> None:
    device.at_rest()
    with contextlib.ExitStack() as stack:
        for _ in range(CLIENTS_MAX):
            stack.enter_context(device.client())
        with device.bare() as bare:
            assert bare.recv(1) == b""
    assert f"{CLIENTS_MAX} clients are connected" in {event["why"] for event in device.events("mms_refused")}


def test_a_client_that_stops_reading_is_let_go_and_the_others_get_their_reports(device: Device) -> None:
    device.at_rest()
    before = device.bench.pss_kb(NAME)
    frames = conversation(device)
    ask = asked(pdu.read_request([name(device, f"{node.name}") for node in device.offered.tree.devices[0].nodes]))
    with device.raw() as deaf, device.client() as honest:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.sendall(b"".join(frames[:2]))
        deaf.setblocking(False)
        heard: list[object] = []
        honest.add_report_listener(heard.append)
        how = RcbSettings(TrgOps(integrity=True), None, 200, None, 5, None, None, False)
        enable(honest, name(device, "LLN0$RP$urcbStatus01"), how)
        waiting, end = b"", time.monotonic() + 60
        while not any(event["why"] == "does not read" for event in device.events("mms_ended")):
            assert time.monotonic() < end
            select.select([], [deaf], [], 0.05)
            try:
                waiting = waiting or ask * 20
                waiting = waiting[deaf.send(waiting) :]
            except BlockingIOError:
                continue
            except OSError:
                time.sleep(0.1)
        count = len(heard)
        device.until(lambda: len(heard) > count + 2)
        assert device.bench.pss_kb(NAME) - before < MEMORY_KB + WAITING_MAX // 1024


def test_clients_that_die_in_the_middle_leave_nothing_selected_or_reserved(device: Device) -> None:
    """Reset instead of closed, with a selection, a reservation and a request under way."""
    device.at_rest()
    blocks = [f"LLN0$RP$urcbMeas0{number}" for number in range(1, 5)]
    for block in blocks:
        with contextlib.suppress(OSError, MmsError), device.client() as dying:
            enable(dying, name(device, block), RcbSettings(intg_pd_ms=1000))
            dying.write(name(device, f"{POSITION}$SBOw"), oper_value(False, ctl_num=1))
            sock = dying._conn._sock
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            sock.sendall(asked(pdu.get_name_list_request(0, device.domain), 77)[:-3])
    device.until(lambda: device.bench.status(NAME)["mms"] == 0)
    with device.client() as client:
        for block in blocks:
            device.until(lambda b=block: not client.read(name(device, f"{b}$Resv")).value)
        client.write(name(device, f"{POSITION}$SBOw"), oper_value(False, ctl_num=2))
        client.write(name(device, f"{POSITION}$Cancel"), cancel_value(False, ctl_num=2))


def test_an_order_is_carried_out_under_a_flood(device: Device) -> None:
    """Two clients read without a pause, a third throws garbage: an operator's order is done in its time."""
    device.at_rest()
    with device.client() as one, device.client() as other, device.client() as operator:
        frames, dice = conversation(device), random.Random(SEED)
        for number in range(30):
            one.get_name_list(0, device.domain)
            other.read_many([name(device, "MMXU1$MX")] * 20)
            throw(device, altered(frames, dice), 0.001)
            if number in (10, 20):
                operate(operator, device, "GGIO1$CO$SPCSO1", number == 20)
    assert device.bench.bays[NAME].position is Position.CLOSED
    assert POSITION not in {event["object"] for event in device.events("mms_control")}
