"""The MMS client, one process, 200 servers of 100 points: connecting, event to callback, commands in a storm, memory

The servers are libiec61850's, all in one other process.
"""

from __future__ import annotations

import asyncio
import gc
import importlib.metadata
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from open61850.data import BoolData, IntData

from agent.keyserver.pki import enrol
from agent.keyserver.tls import Identity
from agent.mms.client import control
from agent.mms.client.blocks import Wanted
from agent.mms.client.errors import MmsError
from agent.mms.client.link import Credentials, Limits, Server
from agent.mms.client.reports import Loss, Report
from agent.mms.client.session import Session
from agent.mms.client.stream import Item
from benchmarks.mms_clients import CLIENTS, OURS, Delays
from benchmarks.mms_servers import BLOCK, CONTROL, DOMAIN, IED, NODE
from benchmarks.row import Row

SERVERS, POINTS = 200, 100
CONNECTED_S, P50_MS, P99_MS = 5.0, 2.0, 10.0
STORM_RATE: Final = 10.0
"""Changes a second and server: 2,000 reports a second."""
STALL_S: Final = 1.0
"""A command that takes longer, or fails, has stalled."""
GROWTH_MB: Final = 1.0
"""What counts as flat."""
PATIENCE_S: Final = 60.0


class Servers:
    """The process of the servers."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.ports: list[int] = []

    async def told(self) -> str:
        """The next line."""
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("the servers have ended")
        return line.decode().strip()

    async def ask(self, line: str) -> None:
        """Give an order and wait until it is done."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        await self.told()

    @classmethod
    @asynccontextmanager
    async def running(cls, count: int, *certificates: str) -> AsyncIterator[Servers]:
        """Started, until the end of the context."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.mms_servers", str(count), str(POINTS), *certificates,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            made = cls(process)
            word, *ports = (await made.told()).split()
            assert word == "ready"
            made.ports = [int(port) for port in ports]
            yield made
        finally:
            process.kill()
            await process.wait()


class Centre:
    """The client of all servers, in this process."""

    def __init__(self, ports: list[int], credentials: Credentials | None = None) -> None:
        self.delays = Delays()
        self.losses: list[Loss] = []
        self.sessions = [
            Session(Server("127.0.0.1", port, credentials, IED), Limits(PATIENCE_S, 10.0)) for port in ports
        ]
        self._enabled = 0
        self._all = asyncio.Event()
        for session in self.sessions:
            stream = session.subscribe(Wanted(f"{IED}{DOMAIN}/LLN0.{BLOCK}"))
            stream.on_item = self._heard

    def _heard(self, item: Item) -> None:
        now = time.monotonic_ns()
        if isinstance(item, Report):
            for entry in item.entries:
                if "data change" in entry.reason and isinstance(entry.value, IntData):
                    self.delays.add((now - entry.value.value) / 1e6)
        elif isinstance(item, Loss):
            self.losses.append(item)
        elif item.up:
            self._enabled += 1
            if self._enabled == len(self.sessions):
                self._all.set()

    async def connect(self) -> float:
        """All associated and subscribed; how long that took (s)."""
        began = time.monotonic()
        for session in self.sessions:
            session.start()
        async with asyncio.timeout(PATIENCE_S):
            await self._all.wait()
        return time.monotonic() - began

    async def close(self) -> None:
        """Let go of all."""
        await asyncio.gather(*(session.close() for session in self.sessions))


def run(quick: bool, seconds: float | None = None) -> list[Row]:
    """``seconds``: how long memory is watched; an hour is 3600. 20 s where it is quick, else two minutes."""
    return asyncio.run(_run(quick, seconds if seconds is not None else 20.0 if quick else 120.0))


async def _run(quick: bool, seconds: float) -> list[Row]:
    case = f"{SERVERS} servers"
    rows = await _secured(case)
    rows += await _beside_peers(100 if quick else 1000)
    async with Servers.running(SERVERS) as servers:
        centre = Centre(servers.ports)
        connected = await centre.connect()
        rows += [Row(case, "all connected and subscribed", "s", connected, CONNECTED_S)]
        await asyncio.sleep(1.0)
        rows += await _events(case, servers, centre, 300 if quick else 2000)
        rows += await _storm(case, servers, centre, 5.0 if quick else 20.0)
        rows += await _memory(case, servers, centre, seconds)
        await centre.close()
    return rows


async def _secured(case: str) -> list[Row]:
    """All over mutual TLS."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "pki"
        enrol(folder, ["centre"], [IED])
        credentials = Credentials(Identity(folder / "centre.pem", folder / "centre.key", folder / "ca.pem"))
        async with Servers.running(SERVERS, str(folder), IED) as servers:
            centre = Centre(servers.ports, credentials)
            connected = await centre.connect()
            await centre.close()
    return [Row(f"{case}, mutual TLS", "all connected and subscribed", "s", connected, CONNECTED_S)]


async def _beside_peers(count: int) -> list[Row]:
    """One server; the same events, heard by us and then by clients of others, each in a process of its own."""
    heard: dict[str, tuple[float, float]] = {}
    async with Servers.running(1) as servers:
        for client in CLIENTS:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "benchmarks.mms_clients", client, str(servers.ports[0]), str(count),
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
            assert process.stdout is not None
            try:
                async with asyncio.timeout(PATIENCE_S):
                    if await process.stdout.readline() != b"ready\n":
                        continue
                    await asyncio.sleep(0.5)
                    for number in range(count):
                        await servers.ask(f"event 0 {number % POINTS}")
                        await asyncio.sleep(0.005)
                    told = json.loads(await process.stdout.readline())
                heard[client] = (told["p50_ms"], told["p99_ms"])
            except TimeoutError:
                continue
            finally:
                if process.returncode is None:
                    process.kill()
                await process.wait()
    ours = heard.pop(OURS, (None, None))
    return [
        Row(f"1 server, beside {client}", metric, "ms", ours[k], goal, peer=told[k],
            peer_name=f"{client} {importlib.metadata.version(CLIENTS[client])}")
        for client, told in heard.items()
        for k, (metric, goal) in enumerate((("p50", P50_MS), ("p99", P99_MS)))
    ]  # fmt: skip


async def _events(case: str, servers: Servers, centre: Centre, count: int) -> list[Row]:
    """One event at a time, of one server after the other."""
    delays = centre.delays = Delays()
    for number in range(count):
        await servers.ask(f"event {number % SERVERS} {number % POINTS}")
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.2)
    return [
        Row(f"{case}, event to callback", "p50", "ms", delays.quantile(0.5), P50_MS),
        Row(f"{case}, event to callback", "p99", "ms", delays.quantile(0.99), P99_MS),
        Row(f"{case}, event to callback", "longest", "ms", delays.longest_ms, None),
        Row(f"{case}, event to callback", "not heard", "events", float(count - delays.total), 0.0),
    ]


async def _storm(case: str, servers: Servers, centre: Centre, seconds: float) -> list[Row]:
    """Reports of all servers at once, and commands meanwhile."""
    name = f"{case}, storm"
    delays = centre.delays = Delays()
    storm = asyncio.create_task(servers.ask(f"storm {SERVERS} {STORM_RATE} {seconds}"))
    commands, stalled, number = Delays(), 0, 0
    while not storm.done():
        number += 1
        session = centre.sessions[number * 7 % SERVERS]
        began = time.monotonic()
        try:
            connection = await session.connected(STALL_S)
            aim = await control.describe(connection, f"{IED}{DOMAIN}", NODE, (CONTROL,))
            before = time.monotonic()
            await session.operate(aim, BoolData(bool(number % 2)))
            commands.add((time.monotonic() - before) * 1000)
        except MmsError:
            stalled += 1
        stalled += time.monotonic() - began > STALL_S
        await asyncio.sleep(0.02)
    await storm
    await asyncio.sleep(0.5)
    return [
        Row(name, "event to callback p50", "ms", delays.quantile(0.5), P50_MS),
        Row(name, "event to callback p99", "ms", delays.quantile(0.99), P99_MS),
        Row(name, "reports", "1/s", delays.total / seconds, SERVERS * STORM_RATE * 0.95, smaller_is_better=False),
        Row(name, "lost", "reports", float(len(centre.losses)), 0.0),
        Row(name, "command p50", "ms", commands.quantile(0.5), None),
        Row(name, "command longest", "ms", commands.longest_ms, None),
        Row(name, "commands stalled (over 1 s) or failed", "commands", float(stalled), 0.0),
    ]


async def _memory(case: str, servers: Servers, centre: Centre, seconds: float) -> list[Row]:
    """Resident memory at the end of the time against that at half of it, with a change a second at each server."""
    centre.delays = Delays()
    levels = []
    for _ in range(2):
        await servers.ask(f"storm {SERVERS} 1 {seconds / 2}")
        gc.collect()
        levels.append(resident_mb())
    name = f"{case}, {seconds:g} s"
    return [
        Row(name, "memory", "MB", levels[1], None),
        Row(name, "growth in the second half", "MB", levels[1] - levels[0], GROWTH_MB),
        Row(name, "event to callback p99", "ms", centre.delays.quantile(0.99), P99_MS),
    ]


def resident_mb() -> float:
    """Of this process."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
