"""Clients that hear the events of one server, ours and those of others, one in a process: how late each event comes.

    python -m benchmarks.mms_clients CLIENT PORT COUNT

Says ``ready``, and after COUNT events one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from array import array
from typing import Final

from benchmarks.mms_servers import BLOCK, DOMAIN, IED

OURS: Final = "ours"
CLIENTS: Final = {OURS: "flisr", "open61850": "open61850", "iec61850": "iec61850"}
"""Name: distribution."""
STEP_US: Final = 10
LONGEST_MS: Final = 2000


class Delays:
    """How often each delay came, in steps of 10 microseconds: as large after an hour as after a second."""

    def __init__(self) -> None:
        self._counts = array("Q", bytes(8 * (LONGEST_MS * 1000 // STEP_US + 1)))
        self.total = 0
        self.longest_ms = 0.0

    def add(self, ms: float) -> None:
        """One more."""
        self._counts[min(len(self._counts) - 1, max(0, int(ms * 1000) // STEP_US))] += 1
        self.total += 1
        self.longest_ms = max(self.longest_ms, ms)

    def quantile(self, part: float) -> float | None:
        """Upper end of the step in which it lies (ms)."""
        left = part * self.total
        for step, count in enumerate(self._counts):
            left -= count
            if count and left <= 0:
                return (step + 1) * STEP_US / 1000
        return None

    def tell(self) -> None:
        """As JSON."""
        print(json.dumps({"p50_ms": self.quantile(0.5), "p99_ms": self.quantile(0.99)}), flush=True)


class Heard(Delays):
    """Events show the clock at which they were (ns); those before we began are of the server's buffer."""

    def __init__(self) -> None:
        super().__init__()
        self._since = time.monotonic_ns()

    def event(self, value: int) -> None:
        """One was heard."""
        now = time.monotonic_ns()
        if value > self._since:
            self.add((now - value) / 1e6)


async def ours(port: int, count: int) -> None:
    """This project's."""
    from open61850.data import IntData

    from agent.mms.client.blocks import Wanted
    from agent.mms.client.link import Server
    from agent.mms.client.reports import Report
    from agent.mms.client.session import Session

    delays, done = Heard(), asyncio.Event()
    async with Session(Server("127.0.0.1", port)) as session:
        stream = session.subscribe(Wanted(f"{IED}{DOMAIN}/LLN0.{BLOCK}"))

        def heard(item: object) -> None:
            for entry in item.entries if isinstance(item, Report) else ():
                if "data change" in entry.reason and isinstance(entry.value, IntData):
                    delays.event(entry.value.value)
            if delays.total >= count:
                done.set()

        stream.on_item = heard
        await session.connected(5.0)
        print("ready", flush=True)
        await done.wait()
    delays.tell()


def open61850(port: int, count: int) -> None:
    """A thread for each connection."""
    from open61850.data import IntData
    from open61850.mms.client import MmsClient
    from open61850.mms.pdu import InformationReport, ObjectName
    from open61850.mms.rcb import enable
    from open61850.mms.report import decode_report, is_report

    delays, done = Heard(), threading.Event()

    def heard(message: InformationReport) -> None:
        for entry in decode_report(message).entries if is_report(message) else ():
            if entry.reason and entry.reason.data_change and isinstance(entry.value, IntData):
                delays.event(entry.value.value)
        if delays.total >= count:
            done.set()

    with MmsClient.connect("127.0.0.1", port, timeout=10.0) as client:
        client.add_report_listener(heard)
        enable(client, ObjectName(f"LLN0$BR${BLOCK}01", f"{IED}{DOMAIN}"))
        print("ready", flush=True)
        done.wait()
    delays.tell()


async def iec61850(port: int, count: int) -> None:
    """Rust; reports are asked for again and again by its dispatcher, here without a pause."""
    from iec61850 import ClientReport, Iec61850Client, Iec61850ClientConfig, RcbWriteMask, TriggerOptions

    delays = Heard()

    def heard(report: ClientReport) -> None:
        for entry in report.entries:
            if isinstance(entry.value, int):
                delays.event(entry.value)

    async with Iec61850Client(Iec61850ClientConfig(address="127.0.0.1", port=port)) as client:
        connection = client.connection
        block = f"{IED}{DOMAIN}/LLN0.BR.{BLOCK}01"
        handle = await connection.get_rcb_values(block)
        handle.trigger_options = TriggerOptions(data_change=True)
        handle.rpt_ena = True
        await connection.install_report_handler(block, heard, rpt_id=handle.rpt_id)
        await connection.set_rcb_values(handle, RcbWriteMask.fields("trigger_options", "rpt_ena"))
        print("ready", flush=True)
        while delays.total < count:
            await connection.poll_reports(100)
    delays.tell()


def main(client: str, port: int, count: int) -> None:
    """See the module."""
    if client == "open61850":
        open61850(port, count)
    else:
        asyncio.run({OURS: ours, "iec61850": iec61850}[client](port, count))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
