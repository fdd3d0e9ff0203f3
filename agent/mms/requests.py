"""What an MMS client asks for (ISO 9506-2 over RFC 1006), which right it needs, and how it is told no. Pure.

Strict: a frame is understood to its last octet or it raises, so that nothing is taken by the server that was not seen
here; nor is anything nested deeper than ``DEPTH_MAX`` of :mod:`agent.mms.ber`, for the server unwraps by recursion.
Writes are judged by the functional constraint of what is written; what is not in the tables needs a right that
nobody has (:data:`NOBODY`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from agent.mms import ber
from agent.mms.ber import BerError, Element
from agent.mms.roles import Right

TPKT_MAX: Final = 65_535
MESSAGE_MAX: Final = 128 * 1024
"""Of one reassembled message; libiec61850's are below 65,000 octets."""

CONNECT_TPDU, DATA_TPDU, DISCONNECT_TPDU, ERROR_TPDU = 0xE0, 0xF0, 0x80, 0x70
CONNECT_SPDU, FINISH_SPDU, DISCONNECT_SPDU, ABORT_SPDU, DATA_SPDU = 0x0D, 0x09, 0x0A, 0x19, b"\x01\x00\x01\x00"
USER_DATA = 0xC1
PRESENTATION, PDV, CONTEXT, SINGLE = 0x61, 0x30, 0x02, 0xA0
RELEASE_REQUEST, ABORT = 0x62, 0x64
REQUEST, RESPONSE, ERROR, INITIATE, CANCEL, REJECT, CONCLUDE = 0xA0, 0xA1, 0xA2, 0xA8, 0x85, 0xA4, 0x8B
READ, WRITE = 0xA4, 0xA5
DENIED: Final = 3
"""DataAccessError and the access class of ServiceError: object-access-denied."""

SERVICES: Final[dict[int, tuple[str, Right]]] = {
    0x80: ("status", Right.VIEW),
    0xA1: ("get name list", Right.VIEW),
    0x82: ("identify", Right.VIEW),
    READ: ("read", Right.READ),
    0xA6: ("get variable access attributes", Right.VIEW),
    0xAB: ("define data set", Right.DATASET),
    0xAC: ("get data set directory", Right.VIEW),
    0xAD: ("delete data set", Right.DATASET),
    0xBF41: ("read log", Right.READ),
    0xBF47: ("get capability list", Right.VIEW),
    0xBF48: ("open file", Right.FILEREAD),
    0x9F49: ("read file", Right.FILEREAD),
    0x9F4A: ("close file", Right.FILEREAD),
    0xBF4D: ("file directory", Right.FILEREAD),
    0xBF2E: ("obtain file", Right.FILEWRITE),
    0xBF4B: ("rename file", Right.FILEMNGT),
    0xBF4C: ("delete file", Right.FILEMNGT),
}
"""Confirmed services by tag: name and the right that they need."""

WRITES: Final[dict[str, Right]] = {
    "CO": Right.CONTROL,
    "SV": Right.CONTROL,
    "BL": Right.CONTROL,
    "BR": Right.REPORTING,
    "RP": Right.REPORTING,
    "SP": Right.SETTINGGROUP,
    "SE": Right.SETTINGGROUP,
    "SG": Right.SETTINGGROUP,
    "CF": Right.CONFIG,
    "DC": Right.CONFIG,
    "EX": Right.CONFIG,
    "LG": Right.CONFIG,
    "GO": Right.CONFIG,
    "GS": Right.CONFIG,
    "MS": Right.CONFIG,
    "US": Right.CONFIG,
}
"""The right to write, by functional constraint. A missing one (ST, MX, OR …): nobody writes that."""

NOBODY: Final = None
"""Instead of a right: nobody may."""


class Request(NamedTuple):
    """One confirmed request."""

    number: int
    """Its invoke identifier."""
    context: int
    """Presentation context of MMS in this association."""
    tag: int
    service: str
    right: Right | None
    objects: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    """Functional constraint of each variable."""
    variables: int = 0
    """How many results a read or write has."""
    value: bool | None = None
    """What a control is to become."""

    @property
    def controls(self) -> bool:
        """Selects, operates or cancels only: the server's own check tells the client why not (AddCause)."""
        selects = self.tag == WRITE or all(name.endswith("$SBO") for name in self.objects)
        return bool(self.constraints) and set(self.constraints) == {"CO"} and selects


class Answer(NamedTuple):
    """The answer to a confirmed request."""

    number: int
    error: str
    """Empty if all was done."""


def tpkts(data: bytes) -> Iterator[bytes]:
    """The complete frames at the beginning of what has arrived."""
    offset = 0
    while len(data) - offset >= 4:
        size = int.from_bytes(data[offset + 2 : offset + 4])
        if data[offset] != 3 or data[offset + 1] or size < 7:
            raise BerError("no TPKT")
        if len(data) - offset < size:
            return
        yield data[offset : offset + size]
        offset += size


class Reassembly:
    """Frames of one direction to whole session messages (ISO 8073 class 0)."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, frame: bytes) -> bytes | None:
        """A message, once it is complete. BerError if that is no frame of class 0."""
        header = frame[4]
        if header + 5 > len(frame):
            raise BerError("transport header")
        kind = frame[5] & 0xF0
        if kind in (CONNECT_TPDU, 0xD0):
            if self._parts:
                raise BerError("connection inside a message")
            return None
        if kind in (DISCONNECT_TPDU, ERROR_TPDU):
            return None
        if frame[5] != DATA_TPDU or header != 2:
            raise BerError(f"transport frame {frame[5]:#x}")
        self._parts.append(frame[7:])
        self._size += len(frame) - 7
        if self._size > MESSAGE_MAX:
            raise BerError("message too long")
        if not frame[6] & 0x80:
            return None
        message = b"".join(self._parts)
        self._parts, self._size = [], 0
        return message


def check_connect(message: bytes) -> None:
    """A session's beginning carries an MMS initiate request and nothing else; BerError otherwise."""
    presentation = ber.check(ber.whole(_session_user_data(message)))
    user = ber.whole(_only(presentation, 0x31).part(0xA2).part(PRESENTATION).content)
    association = ber.whole(_only(user, PDV).part(SINGLE).content)
    information = ber.whole(_only(association, 0x60).part(0xBE).content)
    mms = ber.whole(_only(information, 0x28).part(SINGLE).content)
    if mms.tag != INITIATE:
        raise BerError(f"association with {mms.tag:#x} instead of an initiate request")


def _session_user_data(message: bytes) -> bytes:
    """User data of a CONNECT SPDU, which must be its last parameter."""
    size, offset = _session_length(message, 1)
    if message[0] != CONNECT_SPDU or offset + size != len(message):
        raise BerError("session connect")
    while offset < len(message):
        code = message[offset]
        size, offset = _session_length(message, offset + 1)
        if code == USER_DATA:
            if offset + size != len(message):
                raise BerError("session user data")
            return message[offset:]
        offset += size
    raise BerError("no user data in session connect")


def _session_length(message: bytes, offset: int) -> tuple[int, int]:
    try:
        if message[offset] == 0xFF:
            return int.from_bytes(message[offset + 1 : offset + 3]), offset + 3
        return message[offset], offset + 1
    except IndexError:
        raise BerError("session header") from None


def mms_of(message: bytes) -> tuple[int, Element] | None:
    """Presentation context and PDU of a data message; None for the end of an association. BerError for others."""
    if message[:1] and message[0] in (FINISH_SPDU, DISCONNECT_SPDU, ABORT_SPDU):
        return None
    if message[:4] != DATA_SPDU:
        raise BerError("session message")
    data = ber.whole(_only(ber.whole(message[4:]), PRESENTATION).content)
    parts = _only(data, PDV).parts()
    if len(parts) != 2 or parts[0].tag != CONTEXT:
        raise BerError("presentation data")
    return ber.integer(parts[0]), ber.whole(_only(parts[1], SINGLE).content)


def _only(element: Element, tag: int) -> Element:
    if element.tag != tag:
        raise BerError(f"{element.tag:#x} where {tag:#x} belongs")
    return element


def request_of(message: bytes) -> Request | None:
    """What a client's message asks for; None where it asks for nothing that needs a right."""
    found = mms_of(message)
    if found is None:
        return None
    context, pdu = found
    ber.check(pdu)
    if pdu.tag in (CANCEL, REJECT, CONCLUDE, RELEASE_REQUEST, ABORT):
        return None
    if pdu.tag != REQUEST:
        raise BerError(f"MMS message {pdu.tag:#x} from a client")
    parts = pdu.parts()
    if len(parts) != 2 or parts[0].tag != 0x02:
        raise BerError("confirmed request")
    number, asked = ber.integer(parts[0]), parts[1]
    if asked.tag == WRITE:
        return _write(number, context, asked)
    service, right = SERVICES.get(asked.tag, (f"service {asked.tag:#x}", NOBODY))
    if asked.tag == READ:
        access = asked.part(0xA1)
        listed = ber.whole(access.content)
        count = len(listed.parts()) if listed.tag == 0xA0 else 0
        items = tuple(_named(access))
        request = Request(number, context, READ, service, right, items, _constraints(items) if count else (), count)
        return request._replace(service="select") if request.controls else request
    return Request(number, context, asked.tag, service, right, tuple(_named(asked)))


def _write(number: int, context: int, asked: Element) -> Request:
    """A write of variables; to a data set, to a part of a variable (alternate access): nobody may."""
    parts = asked.parts()
    if len(parts) != 2 or parts[0].tag != 0xA0:
        return Request(number, context, WRITE, "write data set", NOBODY, tuple(_named(asked)))
    variables = parts[0].parts()
    items = tuple(_named(parts[0]))
    constraints = _constraints(items)
    whole_variables = all([part.tag for part in variable.parts()] == [0xA0] for variable in variables)
    rights = {WRITES.get(constraint) for constraint in constraints}
    right = rights.pop() if len(rights) == 1 and whole_variables and len(items) == len(variables) else NOBODY
    return Request(
        number, context, WRITE, _service_of(items), right, items, constraints, len(variables), _control_value(parts[1])
    )


def _service_of(items: tuple[str, ...]) -> str:
    last = items[0].rpartition("$")[2] if items else ""
    words = {"SBOw": "select", "Oper": "operate", "Cancel": "cancel"}
    return words.get(last, "write") if _constraints(items) == ("CO",) else "write"


def _control_value(data: Element) -> bool | None:
    """The first boolean of the first value: ctlVal."""
    values = data.parts()
    if values and values[0].tag == 0xA2:
        values = values[0].parts()
    return bool(values[0].content[0]) if values and values[0].tag == 0x83 and values[0].content else None


def _named(element: Element) -> Iterator[str]:
    """Names of variables, data sets and files in it: ``domain/item`` or as they are."""
    if element.tag == 0xA1 and len(element.content) > 2 and element.content[0] == 0x1A:
        yield "/".join(_text(part) for part in element.parts() if part.tag == 0x1A)
    elif (element.tag in (0x80, 0x82) and len(element.content) > 1) or element.tag in (0x19, 0x1A):
        yield _text(element)
    elif element.tag > 0xFF or element.tag & 0x20:
        for part in element.parts() if element.tag not in (0x9F49, 0x9F4A) else ():
            yield from _named(part)


def _text(name: Element) -> str:
    """A name, which cannot pass for one with a domain."""
    return name.content.decode("latin-1").replace("/", "|")


def _constraints(items: tuple[str, ...]) -> tuple[str, ...]:
    return tuple([*item.partition("/")[2].split("$"), ""][1] for item in items)


def refusal(request: Request) -> bytes:
    """The frame that tells the client: object access denied."""
    number = ber.encode_integer(0x02, request.number)
    failure = ber.encode(0x80, bytes([DENIED]))
    if request.tag == WRITE and request.variables:
        pdu = ber.encode(RESPONSE, number + ber.encode(WRITE, failure * request.variables))
    elif request.tag == READ and request.variables:
        results = ber.encode(0xA1, failure * request.variables)
        pdu = ber.encode(RESPONSE, number + ber.encode(READ, results))
    else:
        reason = ber.encode(0xA2, ber.encode(0xA0, ber.encode(0x87, bytes([DENIED]))))
        pdu = ber.encode(ERROR, ber.encode_integer(0x80, request.number) + reason)
    return frame(request.context, pdu)


def frame(context: int, pdu: bytes) -> bytes:
    """An MMS PDU as it goes over TCP (in one frame: only short ones are made here)."""
    data = ber.encode(PDV, ber.encode_integer(CONTEXT, context) + ber.encode(SINGLE, pdu))
    return tpkt(b"\x02\xf0\x80" + DATA_SPDU + ber.encode(PRESENTATION, data))


def tpkt(payload: bytes) -> bytes:
    """A transport frame as it goes over TCP (RFC 1006)."""
    return b"\x03\x00" + (len(payload) + 4).to_bytes(2) + payload


def answer_of(pdu: Element) -> Answer | None:
    """What a server's PDU answers to a write or another request; None if it is not an answer."""
    if pdu.tag == ERROR:
        number = ber.integer(pdu.part(0x80))
        errors = [part for part in ber.inside(pdu.part(0xA2)) if part.tag & 0xE0 == 0x80]
        code = errors[0] if errors else None
        return Answer(number, "refused" if code is None else f"error {code.tag & 0x1F}/{ber.integer(code)}")
    if pdu.tag != RESPONSE:
        return None
    parts = pdu.parts()
    number = ber.integer(parts[0])
    failed = [ber.integer(part) for part in parts[1].parts() if part.tag == 0x80] if parts[1].tag == WRITE else []
    return Answer(number, ", ".join(f"data access error {code}" for code in failed))


def add_cause_of(pdu: Element) -> int | None:
    """The AddCause of an information report with a LastApplError."""
    if pdu.tag != 0xA3:
        return None
    parts = list(ber.inside(pdu))
    if not any(part.tag in (0x80, 0x1A) and part.content == b"LastApplError" for part in parts):
        return None
    values = [part for part in parts if part.tag == 0xA2]
    last = values[0].parts()[-1:] if values else []
    return ber.integer(last[0]) if last and last[0].tag in (0x85, 0x86) else None
