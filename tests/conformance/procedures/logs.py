"""Logs."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from iec61850 import Iec61850Client, Iec61850ClientConfig

from agent.logic.messages import Position
from tests.conformance.asking import JOURNAL, name, names, refused
from tests.conformance.device import Device


def _query(device: Device, log: str, begin_s: float, end_s: float) -> Any:
    async def asked() -> Any:
        config = Iec61850ClientConfig(address="127.0.0.1", port=device.port)
        async with Iec61850Client(config) as client:
            reference = f"{device.domain}/{log}"
            return await client.connection._native_conn.query_journal_by_time(
                reference, int(begin_s * 1000), int(end_s * 1000)
            )

    return asyncio.run(asked())


def lists_logs_and_control_blocks(device: Device) -> None:
    with device.client() as client:
        assert client.get_name_list(JOURNAL, device.domain)
        for item in names(client, device, "LG"):
            assert client.read(name(device, item))


def finds_what_happened(device: Device) -> None:
    """A change of position is in the log, by time."""
    began = time.time()
    device.put(Position.OPEN)
    with device.client() as client:
        (log, *_) = client.get_name_list(JOURNAL, device.domain)
    device.until(lambda: bool(_query(device, log, began - 1, time.time() + 1)["entries"]))
    assert not _query(device, log, began - 86_400 * 400, began - 86_400 * 399)["entries"]


def refuses_unknown_logs(device: Device) -> None:
    with device.client() as client:
        assert refused(lambda: client.read(name(device, "LLN0$LG$none")))[0] == "access"
