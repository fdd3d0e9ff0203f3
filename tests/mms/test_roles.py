"""Roles in certificates: what counts gives its rights, and everything else those of a viewer."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.mms.roles import DEFINITION, OID, RIGHTS, Right, Role, Token, decode, encode, grant, tokens_of

VIEWER = RIGHTS[Role.VIEWER]
KEY = ec.generate_private_key(ec.SECP256R1())
FREEIPA = bytes.fromhex("302730253004020200FF0C0A4F757473746174696F6E020200FF0C0A49454336323335312D380A0103")
"""The value that FreeIPA's tests of this extension use."""


def certificate(*values: bytes) -> bytes:
    """Made by others' code (DER), with these values of the extension."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody")])
    now = datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(KEY.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    for value in values:
        builder = builder.add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier(OID), value), critical=False)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(Encoding.DER)


def token(*numbers: int, area: str = "north", definition: str = DEFINITION, operation: int | None = None) -> Token:
    return Token(numbers, area, 1, definition, operation)


def test_a_list_of_roles_as_others_write_it_is_read() -> None:
    assert decode(FREEIPA) == [Token((255,), "Outstation", 255, "IEC62351-8", 3)]
    assert encode(decode(FREEIPA)) == FREEIPA


def test_an_operator_may_control_and_an_engineer_may_not() -> None:
    operator = grant(certificate(encode([token(1)])))
    assert operator.roles == {Role.OPERATOR}
    assert Right.CONTROL in operator.rights
    assert Right.SETTINGGROUP not in operator.rights
    engineer = grant(certificate(encode([token(2)])))
    assert Right.SETTINGGROUP in engineer.rights
    assert Right.CONTROL not in engineer.rights
    assert [role for role, rights in RIGHTS.items() if Right.CONTROL in rights] == [Role.OPERATOR]


def test_two_roles_give_the_rights_of_both() -> None:
    both = grant(certificate(encode([token(1), token(2)])))
    assert both.rights == RIGHTS[Role.OPERATOR] | RIGHTS[Role.ENGINEER]
    assert both.words == "OPERATOR, ENGINEER"


def test_what_does_not_count_leaves_a_viewer_and_is_named() -> None:
    for values, why in (
        ([], ""),
        ([encode([token(-102)])], "role -102"),
        ([encode([token(1, definition="ACME")])], "roles as 'ACME' defines them"),
        ([encode([token(1, operation=2)])], "roles to be deleted"),
        ([encode([token(1, area="south")])], "roles for the area 'south'"),
        ([b"\x30\x03\x02\x01"], "roles cannot be read: cut off"),
        ([encode([token(1)])[:-1]], "roles cannot be read: cut off"),
    ):
        granted = grant(certificate(*values), "north")
        assert granted.roles == {Role.VIEWER}
        assert granted.rights == VIEWER
        assert granted.passed_over == ((why,) if why else ())
    assert Right.CONTROL in grant(certificate(encode([token(1)])), "north").rights


def test_other_makers_spelling_of_the_definition_counts() -> None:
    assert grant(certificate(encode([token(1, definition="IEC 62351-8")]))).roles == {Role.OPERATOR}


TOKENS = st.builds(
    Token,
    st.lists(st.integers(-32768, 32767) | st.integers(0, 6), min_size=0, max_size=4).map(tuple),
    st.sampled_from(["north", "south"]),
    st.integers(0, 255),
    st.sampled_from([DEFINITION, "ACME", ""]),
    st.sampled_from([None, 1, 2, 3]),
)


@given(st.lists(TOKENS, max_size=4))
def test_nobody_gets_a_right_that_no_role_of_his_gives(tokens: list[Token]) -> None:
    granted = grant(certificate(encode(tokens)), "north")
    counted = {
        number
        for told in tokens
        if told.area == "north" and told.definition == DEFINITION and told.operation != 2
        for number in told.numbers
        if 0 <= number <= 6
    }
    wanted = frozenset().union(*(RIGHTS[Role(number)] for number in counted or {0}))
    assert granted.rights == wanted
    assert {int(role) for role in granted.roles} == (counted or {0})
    assert (Right.CONTROL in granted.rights) == (1 in counted)


@given(st.lists(TOKENS, max_size=3))
def test_what_is_written_is_read(tokens: list[Token]) -> None:
    assert tokens_of(certificate(encode(tokens))) == tokens


@settings(max_examples=300)
@given(st.binary(max_size=80))
def test_any_octets_instead_of_roles_give_at_most_a_viewers_rights(value: bytes) -> None:
    granted = grant(certificate(value))
    assert granted.rights == VIEWER or decode(value)


OPERATOR = certificate(encode([token(1)]))


@given(st.lists(st.tuples(st.integers(0, 250), st.integers(0, 255)), max_size=4), st.integers(0, 400))
def test_a_damaged_certificate_never_raises(damage: list[tuple[int, int]], size: int) -> None:
    whole = bytearray(OPERATOR)
    for place, octet in damage:
        whole[place] = octet
    assert grant(bytes(whole[:size])).rights >= VIEWER


def test_the_rights_are_as_documented() -> None:
    text = (Path(__file__).parents[2] / "docs/reference/agent.md").read_text()
    rows = re.findall(r"^\| `([A-Z]+)` \| ([a-z, ]+) \|$", text, flags=re.MULTILINE)
    documented = {Role[name]: {Right(word) for word in words.split(", ")} for name, words in rows}
    assert documented == {role: set(rights) for role, rights in RIGHTS.items()}
