"""The association without a socket: a server of others at the other end in memory, and octets that are none."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from open61850.data import IntData
from open61850.mms import pdu
from open61850.mms.pdu import ObjectName
from open61850.mms.report import decode_report

from agent.mms.ber import BerError, encode
from agent.mms.client import files
from agent.mms.client.endpoint import MALFORMED, Answer, Ended, Endpoint, Misunderstood, Opened, Stage, Told
from agent.mms.requests import frame

INITIATED = encode(0xA9, bytes.fromhex("80 03 00fde8 81 01 02 82 01 02 83 01 0a a4 08 80 01 01 81 01 00 82 00"))
CONFIRM = bytes.fromhex("0300000b06d00001000100")


def accepted(outstanding: int = 2) -> bytes:
    """What a server answers to the association."""
    mms = INITIATED.replace(b"\x81\x01\x02", bytes([0x81, 1, outstanding]), 1)
    information = encode(0xBE, encode(0x28, encode(0x02, b"\x03") + encode(0xA0, mms)))
    aare = encode(0x61, encode(0xA2, encode(0x02, b"\x00")) + information)
    pdv = encode(0x61, encode(0x30, encode(0x02, b"\x01") + encode(0xA0, aare)))
    presentation = encode(0x31, encode(0xA0, encode(0x80, b"\x01")) + encode(0xA2, pdv))
    session = b"\xc1" + bytes([len(presentation)]) + presentation
    message = b"\x0e" + bytes([len(session)]) + session
    return b"\x03\x00" + (len(message) + 7).to_bytes(2) + b"\x02\xf0\x80" + message


def opened(outstanding: int = 2) -> Endpoint:
    endpoint = Endpoint()
    endpoint.begin()
    endpoint.receive(CONFIRM)
    assert endpoint.next_event() is None
    endpoint.receive(accepted(outstanding))
    assert isinstance(endpoint.next_event(), Opened)
    endpoint.data_to_send()
    return endpoint


def answer(number: int, content: bytes = b"\xa1\x03\x85\x01\x05") -> bytes:
    return frame(3, encode(0xA1, encode(0x02, bytes([number])) + encode(0xA4, content)))


def test_no_more_requests_are_under_way_than_the_server_takes_and_urgent_ones_are_next() -> None:
    endpoint = opened(outstanding=2)
    numbers = [endpoint.request(bytes([0xA4, 1, number])) for number in range(4)]
    urgent = endpoint.request(b"\xa5\x01\x00", urgent=True)
    assert endpoint.data_to_send().count(b"\xa4\x01") == 2
    endpoint.receive(answer(numbers[0]))
    assert isinstance(endpoint.next_event(), Answer)
    assert b"\xa5\x01\x00" in endpoint.data_to_send()
    endpoint.forget(numbers[1])
    assert endpoint.data_to_send().count(b"\xa4\x01") == 1
    # The answer to what was forgotten is nobody's.
    endpoint.receive(answer(numbers[1]))
    assert endpoint.next_event() is None
    endpoint.receive(answer(urgent))
    assert endpoint.next_event() == Answer(urgent, 4, b"\xa1\x03\x85\x01\x05")


def test_a_message_in_pieces_and_a_piece_with_two_messages() -> None:
    endpoint = opened()
    one, two = endpoint.request(b"\xa4\x00"), endpoint.request(b"\xa4\x00")
    data = answer(one) + answer(two)
    for octet in data[:-1]:
        endpoint.receive(bytes([octet]))
    first = endpoint.next_event()
    assert isinstance(first, Answer)
    assert first.number == one
    assert endpoint.next_event() is None
    endpoint.receive(data[-1:])
    second = endpoint.next_event()
    assert isinstance(second, Answer)
    assert second.number == two


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "no TPKT"),
        (bytes.fromhex("0300000b06800001000100"), "disconnects"),
        (accepted(), "no answer to the transport connection"),
    ],
)
def test_what_is_no_mms_server_is_told(data: bytes, why: str) -> None:
    endpoint = Endpoint()
    endpoint.begin()
    endpoint.receive(data)
    event = endpoint.next_event()
    assert isinstance(event, Ended)
    assert why in event.why
    assert endpoint.next_event() is None


def test_a_message_that_is_not_understood_is_passed_over_by_name() -> None:
    endpoint = opened()
    endpoint.receive(frame(3, encode(0xA3, b"\xa0\x7f")) + frame(3, encode(0xA3, encode(0xA0, b""))))
    assert isinstance(endpoint.next_event(), Misunderstood)
    assert isinstance(endpoint.next_event(), Misunderstood)
    assert endpoint.stage is Stage.OPEN


def test_a_write_of_more_than_a_frame_is_cut_into_frames() -> None:
    endpoint = opened()
    endpoint.request(encode(0xA5, bytes(5000)))
    data = endpoint.data_to_send()
    sizes = []
    while data:
        size = int.from_bytes(data[2:4])
        sizes.append(size)
        data = data[size:]
    assert len(sizes) > 4
    assert max(sizes) <= 1024 + 4


report_like = st.recursive(
    st.one_of(
        st.builds(encode, st.sampled_from([0x80, 0x83, 0x84, 0x85, 0x86, 0x8A, 0x8C, 0x91]),
                  st.binary(max_size=12)),
    ),
    lambda inner: st.builds(
        lambda t, parts: encode(t, b"".join(parts)), st.sampled_from([0xA0, 0xA1, 0xA2, 0xA3, 0x30]),
        st.lists(inner, max_size=4),
    ),
    max_leaves=20,
)  # fmt: skip


@settings(max_examples=300)
@given(st.lists(st.one_of(report_like, st.binary(max_size=60)), max_size=4))
def test_whatever_a_server_sends_is_an_event(messages: list[bytes]) -> None:
    endpoint = opened()
    endpoint.request(b"\xa4\x00")
    for message in messages:
        endpoint.receive(frame(3, message))
    for _ in range(10):
        event = endpoint.next_event()
        if isinstance(event, Told):
            with contextlib.suppress(*MALFORMED):
                decode_report(event.report)
        if isinstance(event, Answer):
            for decode in (pdu.read_response, pdu.write_response, pdu.get_name_list_response, files.opened,
                           files.piece, files.directory):  # fmt: skip
                with contextlib.suppress(*MALFORMED, BerError):
                    decode(event.content)
        if event is None or isinstance(event, Ended):
            return


@settings(max_examples=300)
@given(st.binary(max_size=300))
def test_any_octets_raise_nothing(data: bytes) -> None:
    for endpoint in (Endpoint(), opened()):
        endpoint.begin() if endpoint.stage is Stage.NEW else None
        endpoint.receive(data)
        while endpoint.next_event() is not None:
            pass


@contextlib.contextmanager
def other_end() -> Iterator[socket.socket]:
    """A server of others at the end of a pair of sockets."""
    from open61850.mms.transport import IsoConnection, recv_tpkt, send_tpkt
    from open61850.server.model import IedModel
    from open61850.server.server import MmsServer, ServerConnection

    ours, theirs = socket.socketpair()

    def serve() -> None:
        recv_tpkt(theirs)
        send_tpkt(theirs, CONFIRM[4:])
        server = MmsServer(IedModel("X"), "127.0.0.1", 0)
        with contextlib.suppress(Exception):
            ServerConnection(server, IsoConnection(theirs), ("", 0)).serve()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    ours.settimeout(10.0)
    try:
        yield ours
    finally:
        ours.close()
        thread.join(10.0)
        theirs.close()


@pytest.mark.peer
def test_a_server_of_others_in_memory_answers() -> None:
    with other_end() as end:
        endpoint = Endpoint()
        endpoint.begin()
        end.sendall(endpoint.data_to_send())
        number = endpoint.request(pdu.read_request([ObjectName("LLN0$ST$Beh", "XLD")]))
        seen = []
        while not any(isinstance(event, Answer) for event in seen):
            endpoint.receive(end.recv(4096))
            while (event := endpoint.next_event()) is not None:
                seen.append(event)
            end.sendall(endpoint.data_to_send())
        assert isinstance(seen[0], Opened)
        told = seen[-1]
        assert isinstance(told, Answer)
        assert told.number == number
        assert len(pdu.read_response(told.content)) == 1
        assert IntData(1) not in pdu.read_response(told.content)


def test_files_of_a_directory_with_pages_and_without_times() -> None:
    def listed(name: str, size: int, time: bytes = b"") -> bytes:
        attributes = encode(0x80, size.to_bytes(2)) + (encode(0x81, time) if time else b"")
        return encode(0x30, encode(0xA0, encode(0x19, name.encode())) + encode(0xA1, attributes))

    page = listed("a.cfg", 300, b"20260102030405.678Z") + listed("b.dat", 7)
    for content in (page, encode(0x30, page)):
        entries, more = files.directory(encode(0xA0, content) + encode(0x81, b"\xff"))
        assert more
        assert [(entry.name, entry.size) for entry in entries] == [("a.cfg", 300), ("b.dat", 7)]
        assert entries[0].modified is not None
        assert entries[0].modified.isoformat() == "2026-01-02T03:04:05.678000+00:00"
        assert entries[1].modified is None
