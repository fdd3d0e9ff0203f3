"""OpenSSL before plain servers, as our agents have it: TLS of a port on to another one.

libiec61850's own TLS waits for the end of a handshake in a busy loop; 200 of them on two cores take half a minute.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from pathlib import Path

from agent.keyserver.tls import Identity
from agent.mms.tls import load


def front(ports: list[int], folder: str, name: str) -> list[int]:
    """Ports that are secured, each for one of these; served by a thread."""
    made: list[int] = []
    ready = threading.Event()
    identity = Identity(Path(folder) / f"{name}.pem", Path(folder) / f"{name}.key", Path(folder) / "ca.pem")

    async def serve() -> None:
        secured = load(identity).context
        for port in ports:
            listener = await asyncio.start_server(_Door(port), "127.0.0.1", 0, ssl=secured)
            made.append(listener.sockets[0].getsockname()[1])
        ready.set()
        await asyncio.Event().wait()

    threading.Thread(target=lambda: asyncio.run(serve()), daemon=True).start()
    ready.wait()
    return made


class _Door:
    """One connection to a port."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __call__(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        far, on = await asyncio.open_connection("127.0.0.1", self._port)
        await asyncio.gather(_carry(near, on), _carry(far, back))


async def _carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65_536):
            sink.write(data)
            await sink.drain()
    sink.close()
