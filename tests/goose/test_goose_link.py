"""The UDP link on the loopback interface: everything in order, in bounded batches, with time and source."""

from __future__ import annotations

import socket
import time

import pytest

from agent.goose.link import BATCH_MAX, Udp, UdpLink

GROUP, OTHER = "239.61.85.7", "239.61.85.8"


@pytest.fixture
def port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("", 0))
        return int(sock.getsockname()[1])


def test_a_burst_comes_in_order_and_in_batches(port: int) -> None:
    with UdpLink(Udp((GROUP,), port)) as heard, UdpLink(Udp((), port)) as told:
        assert heard.receive() == []
        began = time.time_ns() // 1000
        sent = [number.to_bytes(2, "big") * (1 + number % 700) for number in range(BATCH_MAX + 10)]
        for payload in sent:
            assert told.send(payload, GROUP)
            assert told.send(b"for others", OTHER)
        first = heard.receive()
        assert len(first) == BATCH_MAX
        rest = heard.receive()
        assert [item.payload for item in first + rest] == sent
        assert heard.receive() == []
        assert all(item.source.startswith("127.0.0.1:") for item in first)
        times = [item.t_us for item in first + rest]
        assert times == sorted(times)
        assert began - 1000 <= times[0] <= times[-1] <= time.time_ns() // 1000 + 1000


def test_what_is_too_long_is_cut_and_what_follows_is_whole(port: int) -> None:
    with UdpLink(Udp((GROUP,), port)) as heard, UdpLink(Udp((), port)) as told:
        for payload in (bytes(9000), b"", b"whole"):
            assert told.send(payload, GROUP)
        assert [len(item.payload) for item in heard.receive()] == [2048, 0, 5]


def test_a_closed_link_says_so(port: int) -> None:
    link = UdpLink(Udp((GROUP,), port))
    link.close()
    with pytest.raises(OSError, match="descriptor"):
        link.receive()
