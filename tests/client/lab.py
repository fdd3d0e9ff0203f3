"""Servers for the client: our agent in this process, those of others in processes of their own, and a cable to cut."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from agent.keyserver.tls import Identity
from agent.mms.client.link import Credentials, Server
from agent.mms.tree import Tree
from tests.mms.lab import free_port
from tests.mms.secured import SecuredLab

PATIENCE_S = 30.0


def credentials(folder: Path, name: str) -> Credentials:
    return Credentials(Identity(folder / f"{name}.pem", folder / f"{name}.key", folder / "ca.pem"))


@contextlib.asynccontextmanager
async def agent(tree: Tree, folder: Path | None = None) -> AsyncIterator[SecuredLab]:
    """Our server behind its door, served between the client's turns."""
    lab = SecuredLab(tree, folder)

    async def serve() -> None:
        while True:
            lab.turn()
            await asyncio.sleep(0.002)

    serving = asyncio.create_task(serve())
    try:
        yield lab
    finally:
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving
        lab.porter.close()
        lab.server.close()
        assert lab.server.failures == []


class Peer:
    """A server of others; its orders are lines, and each is answered by one."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process = process
        self.port = port

    @property
    def server(self) -> Server:
        return Server("127.0.0.1", self.port)

    async def told(self) -> str:
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            return (await self._process.stdout.readline()).decode().strip()

    def order(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())

    async def ask(self, line: str) -> str:
        self.order(line)
        return await self.told()

    async def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()


@contextlib.asynccontextmanager
async def peer(program: str, *arguments: str, port: int = 0) -> AsyncIterator[Peer]:
    """``python PROGRAM PORT ARGUMENTS``, which says a line when it serves."""
    port = port or free_port()
    command = [sys.executable, str(Path(__file__).with_name(program)), str(port), *arguments]
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    made = Peer(process, port)
    try:
        assert await made.told() == "ready"
        yield made
    finally:
        await made.kill()


class Cable:
    """TCP between a client and a server, to be cut or held."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._ends: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.port = 0
        self.passed = 0

    async def __aenter__(self) -> Cable:
        self._listener = await asyncio.start_server(self._plugged, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def server(self) -> Server:
        return Server("127.0.0.1", self.port, label="server")

    def cut(self) -> None:
        """What is on the way is gone."""
        for end in self._ends:
            end.transport.abort()
        self._ends.clear()

    async def _plugged(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        try:
            far, on = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            back.close()
            return
        self._ends += [back, on]
        for source, sink in ((near, on), (far, back)):
            task = asyncio.create_task(self._carry(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(4096):
                await self.flowing.wait()
                self.passed += len(data)
                sink.write(data)
                await sink.drain()
        sink.close()
