"""GOOSE with programs that we did not write, over a veth pair in a namespace: libiec61850, open61850, scapy."""

from __future__ import annotations

import pytest

from tests.goose.lab import in_namespace

pytestmark = [pytest.mark.namespaces, pytest.mark.peer]


@pytest.mark.parametrize("authentic", ["plain", "authentic"])
@pytest.mark.parametrize("vlan", ["tagged", "untagged"])
def test_libiec61850_hears_our_report(authentic: str, vlan: str) -> None:
    """Twice: small values first, then large ones; it sizes integers by the first frame."""
    result = in_namespace("peers", "libiec61850_hears_goose", authentic, vlan)
    for number, heard in enumerate(result["heard"], 1):
        assert heard["valid"]
        assert heard["error"] == 0
        assert (heard["st_num"], heard["sq_num"]) == (number, 1 if number == 1 else 0)
        assert (heard["ttl_ms"], heard["conf_rev"]) == (2500, 10001)
        assert heard["go_id"] == "R11_AG.gcbFlisr"
        assert heard["dat_set"] == "R11_AGFLISR/LLN0$dsFlisr"
    assert result["heard"][1]["values"] == result["sent"]


@pytest.mark.parametrize("vlan", ["tagged", "untagged"])
def test_we_hear_libiec61850s_publisher(vlan: str) -> None:
    result = in_namespace("peers", "we_hear_libiec61850_goose", vlan)
    assert result["results"] == [[[True, True], [False, True]]] * 2
    assert result["counters"]["accepted"] == 2


def test_open61850_hears_our_report() -> None:
    result = in_namespace("peers", "open61850_hears_goose")
    assert result["values"] == result["sent"]
    assert (result["gocb_ref"], result["st_num"], result["conf_rev"]) == ("R11_AGFLISR/LLN0$GO$gcbFlisr", 1, 10001)


def test_we_hear_open61850s_publisher() -> None:
    result = in_namespace("peers", "we_hear_open61850_goose")
    for heard in result["results"]:
        assert heard[0] == [True, True]
        assert all(right for _, right in heard)
    assert result["counters"]["accepted"] == 2


@pytest.mark.parametrize("transport", ["l2", "udp"])
def test_endpoints_over_a_real_link(transport: str) -> None:
    result = in_namespace("peers", "endpoints", transport)
    assert result["seen"] == list(range(50))
    assert result["median_us"] < 50_000
    assert result["repeated"]
    assert not any(result["repeated"])
    assert result["silent"] == 1
    # Other destinations: dropped in the kernel at layer 2, counted on a shared group.
    assert result["counters"]["foreign"] == (50 if transport == "udp" else 0)
    assert result["numbers"] == {"R11_AGFLISR/LLN0$GO$gcbFlisr": 50}


def test_hostile_frames_are_counted_and_the_next_good_one_is_heard() -> None:
    result = in_namespace("peers", "scapy_hostile")
    assert result["wrong"] == 0
    assert result["last"] == [99]
    counters = result["counters"]
    assert counters["bad-mac"] > 100
    assert counters["malformed"] > 100
