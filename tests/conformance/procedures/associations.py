"""Associations."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time

import pytest
from iec61850 import Iec61850Client, Iec61850ClientConfig
from open61850.mms.association import AssociationParameters, association_request, decode_association_response
from open61850.mms.client import MmsClient
from open61850.mms.errors import MmsError
from open61850.mms.pdu import ConcludeResponse, conclude_request, decode_pdu, unwrap, wrap
from open61850.mms.transport import IsoConnection, TransportError

from tests.conformance.asking import DOMAIN
from tests.conformance.device import CLIENTS_MAX, NAME, Device


def associates_and_releases(device: Device) -> None:
    """Two kinds of client; the server answers a release and counts nobody afterwards."""

    async def other() -> list[str]:
        config = Iec61850ClientConfig(address="127.0.0.1", port=device.port)
        async with Iec61850Client(config) as client:
            found: list[str] = await client.connection.get_server_directory()
            return found

    assert asyncio.run(other()) == [device.domain]
    connection = IsoConnection.connect("127.0.0.1", device.port)
    connection.send(association_request(AssociationParameters()))
    assert decode_association_response(connection.recv() or b"").max_pdu_size > 0
    connection.send(wrap(conclude_request()))
    assert decode_pdu(unwrap(connection.recv() or b"")) == ConcludeResponse()
    connection.close()
    device.until(lambda: device.bench.status(NAME)["mms"] == 0)


def associates_and_aborts(device: Device) -> None:
    """A client that cuts the connection leaves nothing behind."""
    for _ in range(3):
        client = MmsClient.connect("127.0.0.1", device.port)
        assert client.get_name_list(DOMAIN) == [device.domain]
        client.close()
    device.until(lambda: device.bench.status(NAME)["mms"] == 0)


def serves_as_many_as_it_says(device: Device) -> None:
    """The largest number of clients at once, each answered; one more is refused, by name, until one has gone."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(device.client()) for _ in range(CLIENTS_MAX)]
        assert {tuple(client.get_name_list(DOMAIN)) for client in clients} == {(device.domain,)}


def refuses_one_more(device: Device) -> None:
    """Beyond the largest number."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(device.client()) for _ in range(CLIENTS_MAX)]
        with pytest.raises((OSError, MmsError)):
            MmsClient.connect("127.0.0.1", device.port, timeout=5.0)
        assert all(client.get_name_list(DOMAIN) for client in clients)
        clients[0].close()
        device.until(device.answers)
    assert f"{CLIENTS_MAX} clients are connected" in {event["why"] for event in device.events("mms_refused")}


def refuses_what_is_no_association(device: Device) -> None:
    """Another application context than MMS; a request before the association; two associations on one connection."""
    asked = association_request(AssociationParameters())
    for wrong in (asked.replace(bytes.fromhex("28ca2202"), bytes.fromhex("28ca2201")), wrap(conclude_request())):
        connection = IsoConnection.connect("127.0.0.1", device.port)
        with contextlib.suppress(OSError, TransportError):
            connection.send(wrong)
            answer = connection.recv()
            assert answer is None or answer[:1] != b"\x0e", "accepted"
        connection.close()
    connection = IsoConnection.connect("127.0.0.1", device.port)
    connection.send(asked)
    assert (connection.recv() or b"")[:1] == b"\x0e"
    connection.send(asked)
    with contextlib.suppress(OSError, TransportError):
        assert connection.recv() is None
    connection.close()
    assert device.answers()


def notices_a_lost_link(device: Device) -> None:
    """A client that is gone without a word is let go; its place is free again."""
    with device.raw() as lost:
        lost.sendall(b"\x03\x00\x00")
        device.until(lambda: device.bench.status(NAME)["mms"] == 1)
        began = time.monotonic()
        device.until(lambda: device.bench.status(NAME)["mms"] == 0)
        assert time.monotonic() - began < 30
    assert device.answers()


def comes_back_after_its_power(device: Device) -> None:
    """Both processes of the agent end at once; started again it takes an association as soon as it is ready."""
    for pid in device.bench.pids(NAME).values():
        os.kill(pid, signal.SIGKILL)
    device.restart()
    assert device.answers()
