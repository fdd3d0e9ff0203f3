"""What passes the door: by service, object and role; and what cannot be understood to the last octet."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.mms import ber, requests
from agent.mms.association import Warden
from agent.mms.audit import AT_ONCE, Audit
from agent.mms.ber import BerError, encode
from agent.mms.requests import SERVICES, WRITES, frame
from agent.mms.roles import RIGHTS, Grant, Right, Role
from tests.mms.secured import Events

CONTEXT = 3
INITIATE = encode(0xA8, bytes.fromhex("80027d00810105820105"))


def connect(mms: bytes = INITIATE) -> bytes:
    """The frame that begins an association, as libiec61850's client builds it."""
    information = encode(0xBE, encode(0x28, encode(0x06, b"\x51\x01") + encode(0x02, b"\x03") + encode(0xA0, mms)))
    association = encode(0x60, encode(0xA1, encode(0x06, bytes.fromhex("28ca220203"))) + information)
    data = encode(0x61, encode(0x30, encode(0x02, b"\x01") + encode(0xA0, association)))
    presentation = encode(0x31, encode(0xA0, encode(0x80, b"\x01")) + encode(0xA2, data))
    session = b"\x05\x06\x13\x01\x00\x16\x01\x02" + b"\x14\x02\x00\x02" + b"\xc1" + bytes([len(presentation)])
    message = b"\x0d" + bytes([len(session) + len(presentation)]) + session + presentation
    return b"\x03\x00" + (len(message) + 7).to_bytes(2) + b"\x02\xf0\x80" + message


def request(service: bytes, number: int = 7) -> bytes:
    return frame(CONTEXT, encode(0xA0, ber.encode_integer(0x02, number) + service))


def variable(item: str, domain: str = "LD") -> bytes:
    name = encode(0xA1, encode(0x1A, domain.encode()) + encode(0x1A, item.encode()))
    return encode(0x30, encode(0xA0, name))


def write(*items: str, extra: bytes = b"") -> bytes:
    listed = b"".join(variable(item) for item in items)
    data = encode(0x83, b"\x01") * len(items)
    return encode(0xA5, encode(0xA0, listed + extra) + encode(0xA0, data))


def warden(*roles: Role) -> tuple[Warden, Events]:
    events = Events()
    rights: frozenset[Right] = frozenset().union(*(RIGHTS[role] for role in roles))
    made = Warden("somebody", Grant(frozenset(roles), rights), Audit(events, lambda: 1))
    on, back = made.asked(connect())
    assert on == connect()
    assert back == b""
    return made, events


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("tag", SERVICES)
def test_a_service_passes_with_its_right_only(role: Role, tag: int) -> None:
    door, events = warden(role)
    service = encode(tag, encode(0xA1, encode(0xA0, variable("LLN0$ST$Beh"))) if tag == 0xA4 else b"")
    asked = request(service)
    on, back = door.asked(asked)
    if SERVICES[tag][1] in RIGHTS[role]:
        assert (on, back) == (asked, b"")
        return
    assert on == b""
    found = requests.mms_of(back[7:])
    assert found is not None
    answer = requests.answer_of(found[1])
    assert answer is not None
    assert answer.number == 7
    assert answer.error
    assert events.of("mms_denied")[0]["who"] == "somebody"


@pytest.mark.parametrize("constraint", [*WRITES, "ST", "MX", "OR", "XX", ""])
def test_a_write_passes_with_the_right_of_its_constraint_only(constraint: str) -> None:
    for role in Role:
        door, _ = warden(role)
        asked = request(write(f"LLN0${constraint}$Thing$x"))
        on, _ = door.asked(asked)
        # A control is judged by the server, which tells the reason as AddCause.
        allowed = constraint == "CO" or WRITES.get(constraint) in RIGHTS[role]
        assert bool(on) == allowed, (role, constraint)


def test_one_forbidden_variable_forbids_the_write() -> None:
    door, events = warden(Role.OPERATOR)
    on, back = door.asked(request(write("XCBR1$SV$Pos$subVal", "LLN0$CF$Mod$ctlModel")))
    assert on == b""
    found = requests.mms_of(back[7:])
    assert found is not None
    assert requests.answer_of(found[1]) == requests.Answer(7, "data access error 3, data access error 3")
    assert events.of("mms_denied")[0]["needs"] == "nobody may"


def test_ways_around_are_closed() -> None:
    alternate = encode(0x30, encode(0xA0, encode(0xA1, encode(0x1A, b"LD") + encode(0x1A, b"LLN0$SV$a")))
                       + encode(0xA5, encode(0x81, b"x")))  # fmt: skip
    domainless = encode(0x30, encode(0xA0, encode(0x80, b"LD/LLN0$SV$a")))
    data_set = encode(0xA5, encode(0xA1, encode(0xA1, encode(0x1A, b"LD") + encode(0x1A, b"d"))) + encode(0xA0, b""))
    for service in (
        write("LLN0$SV$a", extra=alternate),
        write("LLN0$SV$a", extra=domainless),
        data_set,
        encode(0xBF42, b""),
        encode(0xA3, b""),
    ):
        door, _ = warden(*Role)
        on, back = door.asked(request(service))
        assert on == b""
        assert back


def test_what_is_split_over_frames_is_judged_as_one() -> None:
    door, _ = warden(Role.VIEWER)
    whole = request(write("LLN0$CF$x"))
    message = whole[7:]
    parts = [message[:9], message[9:30], message[30:]]
    frames = b""
    for part in parts:
        last = part is parts[-1]
        header = b"\x02\xf0\x80" if last else b"\x02\xf0\x00"
        frames += b"\x03\x00" + (len(part) + 7).to_bytes(2) + header + part
    told = [door.asked(frames[k : k + 1]) for k in range(len(frames))]
    assert b"".join(on for on, _ in told) == b""
    assert sum(bool(back) for _, back in told) == 1


def test_a_request_hidden_in_the_association_is_not_understood() -> None:
    hidden = encode(0xA0, ber.encode_integer(0x02, 1) + write("LLN0$CF$x"))
    door = Warden("x", Grant(frozenset(), frozenset()), Audit(Events(), lambda: 1))
    with pytest.raises(BerError, match="initiate"):
        door.asked(connect(hidden))
    other = Warden("x", Grant(frozenset(), frozenset(Right)), Audit(Events(), lambda: 1))
    with pytest.raises(BerError, match="before the association"):
        other.asked(request(encode(0x82, b"")))
    third, _ = warden(Role.VIEWER)
    with pytest.raises(BerError, match="second association"):
        third.asked(connect())


def test_octets_behind_a_request_are_not_passed_on() -> None:
    door, _ = warden(*Role)
    message = request(encode(0x82, b""))[7:] + encode(0x61, b"")
    with pytest.raises(BerError):
        door.asked(b"\x03\x00" + (len(message) + 7).to_bytes(2) + b"\x02\xf0\x80" + message)


@settings(max_examples=400)
@given(st.data())
def test_damage_is_refused_or_needs_no_right_that_is_missing(data: st.DataObject) -> None:
    door, _ = warden(Role.VIEWER)
    octets = bytearray(request(write("LLN0$CF$x", "LLN0$SP$y")))
    for _ in range(data.draw(st.integers(1, 3))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    try:
        on, _ = door.asked(bytes(octets))
    except BerError:
        return
    # What passes is no write of configuration or settings: another service, another constraint, no data.
    for whole in requests.tpkts(on):
        if whole[5] == 0xF0 and whole[7:11] == requests.DATA_SPDU:
            asked = requests.request_of(whole[7:])
            assert asked is None or asked.controls or asked.right in RIGHTS[Role.VIEWER]


@given(st.binary(max_size=200))
def test_any_octets_raise_nothing_but_a_protocol_error(octets: bytes) -> None:
    door, _ = warden(Role.VIEWER)
    with contextlib.suppress(BerError):
        door.asked(octets)
    other, _ = warden(Role.VIEWER)
    other.answered(octets)


def test_the_audit_cannot_be_flooded_and_says_what_it_left_out() -> None:
    events = Events()
    now = [1_000_000]
    audit = Audit(events, lambda: now[0])
    for port in range(1000):
        audit.refused("", f"10.0.0.1:{port}", "no certificate")
    assert len(events.of("mms_refused")) == AT_ONCE
    audit.refused("", "10.0.0.2:1", "no certificate")
    assert len(events.of("mms_refused")) == AT_ONCE + 1
    now[0] += 1_000_000
    audit.refused("", "10.0.0.1:1", "no certificate")
    assert events.of("mms_refused")[-1]["left_out"] == 1000 - AT_ONCE
