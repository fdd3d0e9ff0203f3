"""Encrypted R-GOOSE with libiec61850's R-session, both ways."""

from __future__ import annotations

import pytest

from tests.goose.lab import in_namespace

pytestmark = [pytest.mark.namespaces, pytest.mark.peer]
ALGORITHMS = ["aes-128-gcm", "aes-256-gcm"]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_libiec61850_decrypts_ours(algorithm: str) -> None:
    result = in_namespace("session_peer", "it_hears_us", algorithm, "right")
    assert result["heard"] == [[True, number, values] for number, values in enumerate(result["sent"], 1)]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_we_decrypt_libiec61850s(algorithm: str) -> None:
    result = in_namespace("session_peer", "we_hear_it", algorithm, "right")
    assert result["results"] == [[True, True], [False, True]] * 2
    assert all(result["encrypted"])
    assert len(set(result["ivs"])) == 4


def test_neither_believes_another_key() -> None:
    assert in_namespace("session_peer", "it_hears_us", "aes-128-gcm", "wrong")["heard"] == []
    assert in_namespace("session_peer", "we_hear_it", "aes-128-gcm", "wrong")["results"] == ["bad-mac"] * 4
