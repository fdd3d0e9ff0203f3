"""Roles after IEC 62351-8: from a client's certificate to what it may do. Pure; whatever is not known gives nothing.

The certificate (profile A: an identity certificate) carries the extension 1.2.840.10070.8.1::

    IECUserRoles ::= SEQUENCE OF UserRoleInfo
    UserRoleInfo ::= SEQUENCE {
        userRole        SEQUENCE OF INTEGER (-32768..32767),
        aor             UTF8String,             -- area of responsibility
        revision        INTEGER (0..255),       -- of the role definition
        roleDefinition  UTF8String,             -- who defined the roles: IEC62351-8
        operation       ENUMERATED OPTIONAL }   -- add(1), delete(2), update(3)

Roles 0 to 6 are the standard's; negative ones are private and known to nobody here. Who has no role that counts has the
rights of a viewer. No role gives the right to release a lock-out: that is done at the device.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, IntEnum
from typing import Final, NamedTuple

from agent.mms import ber
from agent.mms.ber import BerError, Element

OID: Final = "1.2.840.10070.8.1"
OID_CONTENT: Final = bytes((0x2A, 0x86, 0x48, 0xCE, 0x56, 0x08, 0x01))
DEFINITION: Final = "IEC62351-8"
DELETE: Final = 2
SEQUENCE, INTEGER, OBJECT, OCTETS, UTF8, ENUMERATED, EXTENSIONS = 0x30, 0x02, 0x06, 0x04, 0x0C, 0x0A, 0xA3


class Role(IntEnum):
    """The standard's roles, with their numbers in a certificate."""

    VIEWER = 0
    OPERATOR = 1
    ENGINEER = 2
    INSTALLER = 3
    SECADM = 4
    SECAUD = 5
    RBACMNT = 6


class Right(Enum):
    """The standard's rights, as far as an MMS client can ask for what they allow."""

    VIEW = "view"
    """See what objects there are."""
    READ = "read"
    """Read values and logs."""
    REPORTING = "reporting"
    """Use report control blocks."""
    DATASET = "dataset"
    """Make and delete data sets."""
    CONTROL = "control"
    """Operate; substitute and block values."""
    SETTINGGROUP = "settinggroup"
    """Settings and setting groups."""
    CONFIG = "config"
    """Configuration, descriptions, control blocks other than of reports."""
    FILEREAD = "fileread"
    FILEWRITE = "filewrite"
    FILEMNGT = "filemngt"
    """Delete and rename files."""


_LOOK = frozenset({Right.VIEW, Right.READ, Right.REPORTING})
_FILES = frozenset({Right.FILEREAD, Right.FILEWRITE, Right.FILEMNGT})

RIGHTS: Final[dict[Role, frozenset[Right]]] = {
    Role.VIEWER: _LOOK,
    Role.OPERATOR: _LOOK | {Right.CONTROL},
    Role.ENGINEER: _LOOK | _FILES | {Right.DATASET, Right.SETTINGGROUP, Right.CONFIG},
    Role.INSTALLER: _LOOK | {Right.FILEREAD, Right.FILEWRITE, Right.CONFIG},
    Role.SECADM: _LOOK,
    Role.SECAUD: _LOOK | {Right.FILEREAD},
    Role.RBACMNT: _LOOK,
}
"""What each role may do. Certificates, roles and keys are not managed over MMS: SECADM and RBACMNT look on."""


class Grant(NamedTuple):
    """What a certificate gives its owner."""

    roles: frozenset[Role]
    rights: frozenset[Right]
    passed_over: tuple[str, ...] = ()
    """What the certificate says that does not count here, and why."""

    @property
    def words(self) -> str:
        """The roles by name."""
        return ", ".join(role.name for role in sorted(self.roles))


EVERYTHING: Final = Grant(frozenset(), frozenset(Right))
"""Plain text, for a laboratory: nobody is known, so nobody is refused."""


class Token(NamedTuple):
    """One UserRoleInfo."""

    numbers: tuple[int, ...]
    area: str
    revision: int
    definition: str
    operation: int | None = None


def grant(certificate: bytes, area: str = "") -> Grant:
    """What the certificate (DER, verified by who calls) gives. ``area``: roles for other areas do not count; empty:
    areas are not looked at. Never raises: what cannot be read gives a viewer's rights."""
    try:
        tokens = tokens_of(certificate)
    except BerError as error:
        return _granted(set(), [f"roles cannot be read: {error}"])
    roles: set[Role] = set()
    passed_over: list[str] = []
    for token in tokens:
        if "".join(token.definition.split()).upper() != DEFINITION:
            passed_over.append(f"roles as {token.definition!r} defines them")
        elif area and token.area != area:
            passed_over.append(f"roles for the area {token.area!r}")
        elif token.operation == DELETE:
            passed_over.append("roles to be deleted")
        else:
            for number in token.numbers:
                if number in Role._value2member_map_:
                    roles.add(Role(number))
                else:
                    passed_over.append(f"role {number}")
    return _granted(roles, passed_over)


def _granted(roles: set[Role], passed_over: list[str]) -> Grant:
    counted = frozenset(roles or {Role.VIEWER})
    rights: frozenset[Right] = frozenset().union(*(RIGHTS[role] for role in counted))
    return Grant(counted, rights, tuple(passed_over))


def tokens_of(certificate: bytes) -> list[Token]:
    """The roles that a certificate (DER) carries; empty if it carries none. BerError if they cannot be read."""
    signed = ber.whole(certificate).parts()[:1]
    if not signed:
        raise BerError("no certificate")
    holders = [part for part in signed[0].parts() if part.tag == EXTENSIONS]
    found = [
        extension.part(OCTETS).content
        for holder in holders
        for extension in ber.whole(holder.content).parts()
        if extension.part(OBJECT).content == OID_CONTENT
    ]
    if len(found) > 1:
        raise BerError("two lists of roles")
    return decode(found[0]) if found else []


def decode(value: bytes) -> list[Token]:
    """The extension's value."""
    return [_token(info) for info in _typed(ber.whole(value), SEQUENCE).parts()]


def _token(info: Element) -> Token:
    parts = _typed(info, SEQUENCE).parts()
    if not 4 <= len(parts) <= 6:
        raise BerError(f"{len(parts)} parts of a role")
    numbers = tuple(ber.integer(_typed(number, INTEGER)) for number in _typed(parts[0], SEQUENCE).parts())
    operations = [ber.integer(part) for part in parts[4:] if part.tag == ENUMERATED]
    return Token(
        numbers,
        _text(parts[1]),
        ber.integer(_typed(parts[2], INTEGER)),
        _text(parts[3]),
        operations[0] if operations else None,
    )


def _typed(element: Element, tag: int) -> Element:
    if element.tag != tag:
        raise BerError(f"{element.tag:#x} where {tag:#x} belongs")
    return element


def _text(element: Element) -> str:
    try:
        return _typed(element, UTF8).content.decode()
    except UnicodeDecodeError:
        raise BerError("text") from None


def encode(tokens: Iterable[Token]) -> bytes:
    """The extension's value."""
    return ber.encode(SEQUENCE, b"".join(_encoded(token) for token in tokens))


def _encoded(token: Token) -> bytes:
    numbers = b"".join(ber.encode_integer(INTEGER, number) for number in token.numbers)
    content = ber.encode(SEQUENCE, numbers) + ber.encode(UTF8, token.area.encode())
    content += ber.encode_integer(INTEGER, token.revision) + ber.encode(UTF8, token.definition.encode())
    if token.operation is not None:
        content += ber.encode_integer(ENUMERATED, token.operation)
    return ber.encode(SEQUENCE, content)
