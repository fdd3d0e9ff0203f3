"""TimeQuality and the bound of the error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.time.quality import (
    FINEST,
    NS_PER_S,
    UNSPECIFIED,
    TimeQuality,
    accuracy_bits,
    clock_accuracy_ns,
    time_quality,
)


@pytest.mark.parametrize(
    ("error_ns", "bits"),
    [(7_812_500, 7), (976_562, 10), (61_035, 14), (15_258, 16), (3_814, 18), (953, 20), (10_000_000, 6), (0, 24)],
    ids=["T0", "T1", "T2", "T3", "T4", "T5", "10 ms", "none"],
)
def test_the_performance_classes_of_iec_61850_5(error_ns: int, bits: int) -> None:
    assert accuracy_bits(error_ns) == bits


@given(st.integers(0, 10**12))
def test_accuracy_never_claims_more_than_is_known_nor_less(error_ns: int) -> None:
    bits = accuracy_bits(error_ns)
    assert 0 <= bits <= FINEST
    assert bits == 0 or error_ns * 2**bits <= NS_PER_S
    assert bits == FINEST or max(error_ns, 1) * 2 ** (bits + 1) > NS_PER_S


def test_octet_as_on_the_wire() -> None:
    assert TimeQuality(True, False, False, 10).octet == 0x8A
    assert TimeQuality(False, True, False, 0).octet == 0x40
    assert TimeQuality(False, False, True, UNSPECIFIED).octet == 0x3F


def test_a_failed_clock_claims_no_accuracy() -> None:
    assert time_quality(True, True, True, 100) == TimeQuality(True, True, False, UNSPECIFIED)
    assert time_quality(False, False, False, None) == TimeQuality(False, False, True, UNSPECIFIED)
    assert time_quality(True, True, False, 1_000).octet == 0x80 | 19


def test_clock_accuracy_is_a_bound_or_unknown() -> None:
    assert clock_accuracy_ns(0x20) == 25
    assert clock_accuracy_ns(0x23) == 1_000
    assert clock_accuracy_ns(0x2F) == NS_PER_S
    assert [clock_accuracy_ns(value) for value in (0x1F, 0x31, 0xFE)] == [None] * 3
    known = [bound for value in range(256) if (bound := clock_accuracy_ns(value)) is not None]
    assert known == sorted(known)
