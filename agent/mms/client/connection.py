"""The services of one association: read, write, names, types, data sets, files. Each wait has an end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from open61850.data import IECData
from open61850.mms import pdu
from open61850.mms.errors import DataAccessError
from open61850.mms.pdu import InformationReport, ObjectName
from open61850.mms.types import MmsType, get_variable_access_attributes_response

from agent.mms.ber import BerError
from agent.mms.client import files
from agent.mms.client.endpoint import MALFORMED, access_error
from agent.mms.client.errors import MmsError, ProtocolError, RefusedError
from agent.mms.client.files import FileEntry
from agent.mms.client.link import Limits, Link, Server

PAGES_MAX: Final = 10_000
AT_ONCE: Final = 50
"""Variables of one read: the answer must fit into one message."""

Listener = Callable[[InformationReport], None]
T = TypeVar("T")


class Connection:
    """Use :meth:`open`, and :meth:`close` at the end. Errors are those of :mod:`agent.mms.client.errors`."""

    def __init__(self, server: Server, limits: Limits) -> None:
        self.server = server
        self.limits = limits
        self._link: Link
        self._listeners: list[Listener] = []
        self.misunderstood: Callable[[str], None] = lambda _why: None
        """Told of messages that had to be passed over."""

    @classmethod
    async def open(cls, server: Server, limits: Limits = Limits()) -> Connection:  # noqa: B008 (immutable)
        """Connect and associate."""
        made = cls(server, limits)
        made._link = await Link.open(server, limits, made._reported, made._misunderstood)
        return made

    async def __aenter__(self) -> Connection:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Conclude and close."""
        await self._link.close()

    def abort(self, why: str) -> None:
        """Close at once."""
        self._link.abort(why)

    @property
    def ended(self) -> asyncio.Future[str]:
        """Done when the association is over; says why."""
        return self._link.ended

    @property
    def heard_at(self) -> float:
        """When the server last sent something (time of the loop)."""
        return self._link.heard_at

    def listen(self, listener: Listener) -> None:
        """Be told of everything that the server sends unasked, in the order of arrival."""
        self._listeners.append(listener)

    def unlisten(self, listener: Listener) -> None:
        """Be told no more."""
        self._listeners.remove(listener)

    def _reported(self, report: InformationReport) -> None:
        for listener in tuple(self._listeners):
            listener(report)

    def _misunderstood(self, why: str) -> None:
        self.misunderstood(why)

    # --- variables ---------------------------------------------------------------------------------------------------

    async def read_many(
        self, names: Sequence[ObjectName], timeout_s: float | None = None, urgent: bool = False
    ) -> list[IECData | DataAccessError]:
        """Values in the order of the names; an access error in place of a value that is refused."""
        found: list[IECData | DataAccessError] = []
        for start in range(0, len(names), AT_ONCE):
            part = list(names[start : start + AT_ONCE])
            what = str(part[0]) if len(part) == 1 else f"{part[0]} and {len(part) - 1} more"
            answer = await self._link.request(pdu.read_request(part), what, timeout_s, urgent)
            values = _decoded(pdu.read_response, answer.content, what)
            if len(values) != len(part):
                raise ProtocolError(f"{self.server}: {len(values)} values for {len(part)} variables")
            found += values
        return found

    async def read(self, name: ObjectName, timeout_s: float | None = None, urgent: bool = False) -> IECData:
        """One value; RefusedError."""
        (value,) = await self.read_many([name], timeout_s, urgent)
        if isinstance(value, DataAccessError):
            raise RefusedError(str(name), access_error(value.code), value.code)
        return value

    async def write(
        self, name: ObjectName, value: IECData, timeout_s: float | None = None, urgent: bool = False
    ) -> None:
        """Write one variable; RefusedError."""
        answer = await self._link.request(pdu.write_request([name], [value]), str(name), timeout_s, urgent)
        results = _decoded(pdu.write_response, answer.content, str(name))
        if len(results) != 1:
            raise ProtocolError(f"{self.server}: {len(results)} results for one write")
        if results[0] is not None:
            raise RefusedError(str(name), access_error(results[0].code), results[0].code)

    async def type_of(self, name: ObjectName) -> MmsType:
        """What a variable is made of; RefusedError."""
        request = pdu.get_variable_access_attributes_request(name)
        answer = await self._link.request(request, f"type of {name}")
        return _decoded(get_variable_access_attributes_response, answer.content, str(name))

    # --- directory ---------------------------------------------------------------------------------------------------

    async def domains(self) -> list[str]:
        """Logical devices."""
        return await self._names(pdu.OBJECT_CLASS_DOMAIN, None)

    async def variables(self, domain: str) -> list[str]:
        """All variables of a logical device at every level: ``LLN0``, ``LLN0$ST``, ``LLN0$ST$Beh`` …"""
        return await self._names(pdu.OBJECT_CLASS_NAMED_VARIABLE, domain)

    async def data_sets(self, domain: str) -> list[str]:
        """Its data sets."""
        return await self._names(pdu.OBJECT_CLASS_NAMED_VARIABLE_LIST, domain)

    async def members(self, data_set: ObjectName) -> list[ObjectName]:
        """What a data set consists of, in order."""
        request = pdu.get_named_variable_list_attributes_request(data_set)
        answer = await self._link.request(request, str(data_set))
        return _decoded(pdu.get_named_variable_list_attributes_response, answer.content, str(data_set))

    async def _names(self, kind: int, domain: str | None) -> list[str]:
        names: list[str] = []
        after: str | None = None
        for _ in range(PAGES_MAX):
            request = pdu.get_name_list_request(kind, domain, after)
            answer = await self._link.request(request, f"names of {domain or 'the server'}")
            page, more = _decoded(pdu.get_name_list_response, answer.content, domain or "")
            names += page
            if not more or not page:
                return names
            after = page[-1]
        raise ProtocolError(f"{self.server}: no end of names")

    async def alive(self, timeout_s: float) -> None:
        """Ask for nothing (Identify), to see whether it answers; SilentError, LostError."""
        await self._link.request(b"\x82\x00", "identify", timeout_s, urgent=True)

    # --- files -------------------------------------------------------------------------------------------------------

    async def files(self, folder: str = "") -> list[FileEntry]:
        """Directory of a folder of the server."""
        found: list[FileEntry] = []
        after = ""
        for _ in range(PAGES_MAX):
            answer = await self._link.request(files.directory_request(folder, after), folder or "/")
            page, more = _decoded(files.directory, answer.content, folder)
            found += page
            if not more or not page or page[-1].name == after:
                return found
            after = page[-1].name
        raise ProtocolError(f"{self.server}: no end of the directory")

    async def fetch(self, path: str, keep: Callable[[bytes], object]) -> int:
        """Read a file piece by piece; its size. What is fewer octets than the server said is an error."""
        opened = _decoded(files.opened, (await self._link.request(files.open_request(path), path)).content, path)
        size, more = 0, True
        try:
            while more:
                answer = await self._link.request(files.read_request(opened.handle), path)
                data, more = _decoded(files.piece, answer.content, path)
                size += len(data)
                keep(data)
                if more and not data:
                    raise ProtocolError(f"{path}: an empty piece that is not the last")
        finally:
            # What is read is read: a server that cannot close it loses a handle, not we the file.
            with contextlib.suppress(MmsError):
                await self._link.request(files.close_request(opened.handle), path)
        if size != opened.size:
            raise ProtocolError(f"{path}: {size} octets came, the server said {opened.size}")
        return size


def _decoded(decode: Callable[[bytes], T], content: bytes, what: str) -> T:
    try:
        return decode(content)
    except (*MALFORMED, BerError) as error:
        raise ProtocolError(f"{what}: an answer that cannot be understood: {error}") from None
