"""What ptp4l 3.1.1 (Debian 12) answered as a slave over veth in domain 93, and a server that says it again."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from agent.time.management import Id, decode
from agent.time.ptp import Reading

DOMAIN = 93
RECORDED = {
    Id.DEFAULT_DATA_SET: (
        "0d02004a5d000000000000000000000000000000fe6221fffe91041d00000001047f"
        "0000000000000000000000000200000100162000"
        "0300000180fffeffff80fe6221fffe91041d5d00"
    ),
    Id.CURRENT_DATA_SET: (
        "0d0200485d000000000000000000000000000000fe6221fffe91041d00000002047f"
        "0000000000000000000000000200000100142001"
        "0001ffffffffff1200000000000000000000"
    ),
    Id.PARENT_DATA_SET: (
        "0d0200565d000000000000000000000000000000fe6221fffe91041d00000003047f"
        "0000000000000000000000000200000100222002"
        "c2e355fffec1d05900010000ffff7fffffff0a06214e5d80c2e355fffec1d059"
    ),
    Id.TIME_PROPERTIES_DATA_SET: (
        "0d02003a5d000000000000000000000000000000fe6221fffe91041d00000004047f"
        "0000000000000000000000000200000100062003"
        "00003c20"
    ),
    Id.TIME_STATUS_NP: (
        "0d0200685d000000000000000000000000000000fe6221fffe91041d00000005047f"
        "000000000000000000000000020000010034c000"
        "ffffffffffffff1218eaae377fb789c20000000000000000000000000000000000000000000000000001c2e355fffec1d059"
    ),
    Id.PORT_DATA_SET: (
        "0d0200505d000000000000000000000000000000fe6221fffe91041d00010006047f"
        "00000000000000000000000002000001001c2004"
        "fe6221fffe91041d000109000000000001fc0000010300020002"
    ),
    Id.PORT_PROPERTIES_NP: (
        "0d0200465d000000000000000000000000000000fe6221fffe91041d00010007047f"
        "000000000000000000000000020000010012c004"
        "fe6221fffe91041d0001090002653000"
    ),
    Id.CLOCK_DESCRIPTION: (
        "0d0200665d000000000000000000000000000000fe6221fffe91041d00010008047f"
        "0000000000000000000000000200000100320001"
        "80000a49454545203830322e330006fe622191041d00030006fe622191041d00000000023b3b023b3b00001b19000200"
    ),
    # linuxptp 3.1.1 does not know this one: NO_SUCH_ID.
    Id.POWER_PROFILE_SETTINGS_NP: (
        "0d02003c5d000000000000000000000000000000fe6221fffe91041d00010009047f"
        "0000000000000000000000000200000200080002"
        "c00a00000000"
    ),
}
ANSWERS = {asked: bytes.fromhex(text) for asked, text in RECORDED.items()}
INGRESS_NS = 1_795_438_954_849_733_058


def recorded_reading() -> Reading:
    """The recording as the client hands it on."""
    data = {asked: decode(octets).data for asked, octets in ANSWERS.items()}
    return Reading(
        data[Id.DEFAULT_DATA_SET],  # type: ignore[arg-type]
        data[Id.CURRENT_DATA_SET],  # type: ignore[arg-type]
        data[Id.PARENT_DATA_SET],  # type: ignore[arg-type]
        data[Id.TIME_PROPERTIES_DATA_SET],  # type: ignore[arg-type]
        data[Id.TIME_STATUS_NP],  # type: ignore[arg-type]
        (data[Id.PORT_DATA_SET],),  # type: ignore[arg-type]
        (data[Id.PORT_PROPERTIES_NP],),  # type: ignore[arg-type]
        data[Id.CLOCK_DESCRIPTION],  # type: ignore[arg-type]
    )


def answer(question: bytes) -> list[bytes]:
    """The recorded answer, under the question's number; none in another domain."""
    asked = Id(struct.unpack_from(">H", question, 52)[0])
    if question[4] != DOMAIN:
        return []
    octets = bytearray(ANSWERS[asked])
    octets[30:32] = question[30:32]
    return [bytes(octets)]


def fresh(question: bytes) -> list[bytes]:
    """The recording, with a Sync of just now."""
    octets = answer(question)
    if octets and octets[0][52:54] == b"\xc0\x00":
        return [octets[0][:62] + time.time_ns().to_bytes(8, "big") + octets[0][70:]]
    return octets


@contextlib.contextmanager
def server(path: Path, reply: Callable[[bytes], list[bytes]] = answer) -> Iterator[list[bytes]]:
    """A stand-in for ptp4l's socket; yields the questions it got."""
    questions: list[bytes] = []
    own = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    own.bind(str(path))
    own.settimeout(0.05)
    running = True

    def serve() -> None:
        while running:
            try:
                question, sender = own.recvfrom(2000)
            except TimeoutError:
                continue
            questions.append(question)
            for octets in reply(question):
                with contextlib.suppress(OSError):
                    own.sendto(octets, sender)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield questions
    finally:
        running = False
        thread.join()
        own.close()
        path.unlink()
