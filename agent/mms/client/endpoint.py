"""One association, seen from the client: RFC 1006, ISO session and presentation, MMS requests and answers. Sans I/O.

    begin()            the transport connection is there: ask for the association
    receive(data)      octets of the server
    next_event()       one thing that happened, None: nothing more to see in what has arrived
    request(service)   a number; its Answer carries it
    data_to_send()     octets for the server

One message is looked at per :meth:`Endpoint.next_event`, so the owner decides how long it works for one server. As many
requests are under way as the server takes; more of them wait here, urgent ones first.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from open61850.ber import BerError as CodecError
from open61850.mms import pdu
from open61850.mms.association import (
    Association,
    AssociationParameters,
    association_request,
    decode_association_response,
)
from open61850.mms.errors import DATA_ACCESS_ERRORS, ERROR_CLASSES
from open61850.mms.errors import MmsError as CodecMmsError
from open61850.mms.pdu import InformationReport
from open61850.mms.transport import connection_request

from agent.mms import requests
from agent.mms.ber import BerError
from agent.mms.client.errors import ProtocolError
from agent.mms.requests import Reassembly

MALFORMED: Final = (
    CodecError,
    CodecMmsError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    RecursionError,
)
"""What a decoder raises where octets are not what they should be."""
TPDU_CODE: Final = 0x0D
"""Transport frames of 2**13 octets are proposed."""
TPDU_DEFAULT: Final = 1024
OUTSTANDING_MAX: Final = 16
"""Of requests under way, whatever a server offers."""
PDU_MAX: Final = 65_000
CONFIRM, ABORT_APDU = 0xD0, 0x64

FILE_ERRORS: Final = {
    0: "other file error", 1: "file name ambiguous", 2: "file busy", 3: "file name syntax error",
    4: "content type invalid", 5: "position invalid", 6: "file access denied", 7: "file non-existent",
    8: "duplicate file name", 9: "insufficient space in filestore",
}  # fmt: skip
REJECTIONS: Final = {
    0: "other", 1: "it does not know this service", 2: "unrecognized modifier", 3: "invalid invoke identifier",
    4: "invalid argument", 5: "invalid modifier", 6: "too many requests outstanding", 8: "nested too deep",
    9: "value out of range",
}  # fmt: skip
"""Of a confirmed request."""
ACCESS_ERRORS: Final = {
    0: "other access error", 1: "object access unsupported", 2: "object non-existent", 3: "object access denied",
    4: "object invalidated",
}  # fmt: skip


class Stage(Enum):
    """How far the association is."""

    NEW = auto()
    CONNECTING = auto()
    ASSOCIATING = auto()
    OPEN = auto()
    ENDED = auto()


@dataclass(frozen=True, slots=True)
class Opened:
    """The server accepts the association."""

    association: Association


@dataclass(frozen=True, slots=True)
class Answer:
    """To a request: its content, or why not."""

    number: int
    service: int = 0
    content: bytes = b""
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """Unasked: a report, or the end of a command."""

    report: InformationReport


@dataclass(frozen=True, slots=True)
class Misunderstood:
    """A message that cannot be understood was passed over: whatever it was is missing."""

    why: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The server ends the association, or nothing of it can be understood any more."""

    why: str


Event = Opened | Answer | Told | Misunderstood | Ended


class Endpoint:
    """See the module."""

    def __init__(self) -> None:
        self.stage = Stage.NEW
        self._held = bytearray()
        self._at = 0
        self._out: list[bytes] = []
        self._reassembly = Reassembly()
        self._tpdu = TPDU_DEFAULT
        self._next = 1
        self._limit = 1
        self._under_way: set[int] = set()
        self._waiting: deque[tuple[int, bytes]] = deque()

    # --- out ---------------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Ask for the transport connection, then by itself for the association."""
        self.stage = Stage.CONNECTING
        self._frame_out(connection_request(tpdu_size_code=TPDU_CODE))

    def request(self, service: bytes, urgent: bool = False) -> int:
        """Send a confirmed request as soon as the server takes one more; its number."""
        number = self._next
        self._next = self._next % 0x7FFFFFFF + 1
        if urgent:
            self._waiting.appendleft((number, service))
        else:
            self._waiting.append((number, service))
        self._advance()
        return number

    def forget(self, number: int) -> None:
        """Nobody waits for this answer any more."""
        self._under_way.discard(number)
        self._waiting = deque(entry for entry in self._waiting if entry[0] != number)
        self._advance()

    def conclude(self) -> None:
        """Say good-bye."""
        if self.stage is Stage.OPEN:
            self._message_out(pdu.wrap(pdu.conclude_request()))

    def data_to_send(self) -> bytes:
        """What is to go to the server, once."""
        out = b"".join(self._out)
        self._out.clear()
        return out

    def _advance(self) -> None:
        while self.stage is Stage.OPEN and self._waiting and len(self._under_way) < self._limit:
            number, service = self._waiting.popleft()
            self._under_way.add(number)
            self._message_out(pdu.wrap(pdu.confirmed_request(number, service)))

    def _message_out(self, message: bytes) -> None:
        room = self._tpdu - 3
        for start in range(0, len(message), room):
            last = start + room >= len(message)
            self._frame_out(bytes([2, requests.DATA_TPDU, 0x80 if last else 0]) + message[start : start + room])

    def _frame_out(self, payload: bytes) -> None:
        self._out.append(requests.tpkt(payload))

    # --- in ----------------------------------------------------------------------------------------------------------

    @property
    def behind(self) -> int:
        """Octets that have arrived and were not looked at."""
        return len(self._held) - self._at

    def receive(self, data: bytes) -> None:
        """Keep octets of the server."""
        self._held += data

    def next_event(self) -> Event | None:
        """The next thing that happened."""
        try:
            while self.stage is not Stage.ENDED:
                frame = self._frame_in()
                if frame is None:
                    return None
                event = self._taken(frame)
                if event is not None:
                    return event
        except (ProtocolError, BerError) as error:
            return self._ended(f"what the server sends cannot be understood: {error}")
        return None

    def _frame_in(self) -> bytes | None:
        """The next transport frame, if it is complete."""
        if self.behind < 4:
            return None
        size = int.from_bytes(self._held[self._at + 2 : self._at + 4])
        if self._held[self._at] != 3 or size < 7:
            raise ProtocolError("no TPKT: not an MMS server")
        if self.behind < size:
            return None
        frame = bytes(self._held[self._at : self._at + size])
        self._at += size
        if self._at >= PDU_MAX or self._at == len(self._held):
            del self._held[: self._at]
            self._at = 0
        return frame

    def _taken(self, frame: bytes) -> Event | None:
        kind = frame[5] & 0xF0
        if kind == CONFIRM and self.stage is Stage.CONNECTING:
            self._tpdu = _tpdu_size(frame)
            self.stage = Stage.ASSOCIATING
            self._message_out(association_request(AssociationParameters(max_outstanding=OUTSTANDING_MAX)))
            return None
        if kind in (requests.DISCONNECT_TPDU, requests.ERROR_TPDU):
            return self._ended("the server disconnects")
        if self.stage is Stage.CONNECTING:
            raise ProtocolError("no answer to the transport connection")
        message = self._reassembly.add(frame)
        if message is None:
            return None
        if self.stage is Stage.ASSOCIATING:
            return self._associated(message)
        if message[:4] != requests.DATA_SPDU:
            return self._ended("the server ends the association")
        return self._mms(message)

    def _associated(self, message: bytes) -> Event:
        try:
            association = decode_association_response(message)
        except MALFORMED as error:
            return self._ended(f"association refused: {error}")
        self._limit = max(1, min(OUTSTANDING_MAX, association.max_outstanding_calling))
        self.stage = Stage.OPEN
        self._advance()
        return Opened(association)

    def _mms(self, message: bytes) -> Event | None:
        try:
            mms = pdu.unwrap(message)
        except MALFORMED as error:
            raise ProtocolError(str(error)) from None
        if mms[:1] == bytes([ABORT_APDU]):
            return self._ended("aborted by the server")
        try:
            told = pdu.decode_pdu(mms)
        except MALFORMED as error:
            return Misunderstood(f"{type(error).__name__}: {error}")
        if isinstance(told, InformationReport):
            return Told(told)
        if isinstance(told, pdu.ConcludeResponse):
            return self._ended("concluded")
        if told.invoke_id is None:
            return Misunderstood("a rejection of nobody knows what")
        known = told.invoke_id in self._under_way
        self._under_way.discard(told.invoke_id)
        self._advance()
        if not known:
            return None
        if isinstance(told, pdu.ConfirmedResponse):
            return Answer(told.invoke_id, told.service, told.content)
        if isinstance(told, pdu.ConfirmedError):
            return Answer(told.invoke_id, refused=service_error(told.error_class, told.code))
        return Answer(told.invoke_id, refused=rejection(told.reason_tag, told.code))

    def _ended(self, why: str) -> Ended:
        self.stage = Stage.ENDED
        return Ended(why)


def _tpdu_size(frame: bytes) -> int:
    """Of a connection confirmation; what the server does not say is :data:`TPDU_DEFAULT`."""
    offset, end = 11, min(len(frame), frame[4] + 5)
    while offset + 2 <= end:
        code, length = frame[offset], frame[offset + 1]
        if code == 0xC0 and length == 1 and offset + 2 < end and 7 <= frame[offset + 2] <= 13:
            return 1 << frame[offset + 2]
        offset += 2 + length
    return TPDU_DEFAULT


def service_error(error_class: int, code: int) -> str:
    """A ServiceError of ISO 9506-2 in words."""
    if error_class == 11:
        return FILE_ERRORS.get(code, f"file error {code}")
    if error_class == 7:
        return ACCESS_ERRORS.get(code, f"access error {code}")
    return f"{ERROR_CLASSES.get(error_class, f'error class {error_class}')} error {code}"


def rejection(reason: int, code: int) -> str:
    """A Reject of ISO 9506-2 in words."""
    words = REJECTIONS.get(code, f"code {code}") if reason == 1 else f"reason {reason}, code {code}"
    return f"rejected by the server: {words}"


def access_error(code: int) -> str:
    """A DataAccessError in words."""
    return DATA_ACCESS_ERRORS.get(code, f"data access error {code}")
