"""The library takes five clients on a port: it listens on more of them, and the door spreads the clients."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from open61850.mms.client import MmsClient

from agent.mms.ports import CLIENTS_OF_PORT, ports_for
from tests.conformance import device as under_test
from tests.conformance.device import NAME, Device

pytestmark = pytest.mark.peer
MANY = 24


@pytest.mark.parametrize(("clients", "ports"), [(1, 1), (4, 1), (5, 2), (16, 4), (64, 16)])
def test_ports_for_clients(clients: int, ports: int) -> None:
    assert ports_for(clients) == ports
    assert ports * CLIENTS_OF_PORT >= clients


def test_as_many_as_the_option_allows_are_served_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(under_test, "CLIENTS_MAX", MANY)
    with Device(tmp_path) as device:
        for _ in range(2):
            with contextlib.ExitStack() as stack:
                connect = [MmsClient.connect("127.0.0.1", device.port, timeout=20.0) for _ in range(MANY)]
                clients = [stack.enter_context(client) for client in connect]
                assert device.bench.status(NAME)["mms"] == MANY
                assert all(client.get_name_list(9) == [device.domain] for client in clients)
            device.until(lambda: device.bench.status(NAME)["mms"] == 0)
        assert device.events("mms_refused") == []
        assert device.answers()
