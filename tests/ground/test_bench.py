"""Rows of a benchmark and what the command prints of them."""

from __future__ import annotations

import json
import sys
import types

import click
import pytest
from click.testing import CliRunner

from benchmarks import commands
from benchmarks.mms_clients import Delays
from benchmarks.row import Row

KEYS = {"case", "metric", "unit", "ours", "peer", "peer_name", "ratio", "goal", "met"}


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """A benchmark of two rows; the list fills with the ``quick`` of each call."""
    calls: list[bool] = []

    def run(quick: bool) -> list[Row]:
        calls.append(quick)
        return [
            Row("feeder of 10", "rate", "1/s", 400.0, 200.0, smaller_is_better=False),
            Row("round trip", "p50", "µs", 60.0, 100.0, peer=90.0, peer_name="other 1.0"),
        ]

    module = types.ModuleType("fixture_benchmark", "A benchmark for the test.\n\nMore.")
    module.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "fixture_benchmark", module)
    monkeypatch.setattr(commands, "BENCHMARKS", {"fixture": "fixture_benchmark", "gone": "fixture_not_there"})
    monkeypatch.setattr(commands.bench.params[0], "type", click.Choice(["fixture", "gone"]))
    return calls


def test_json_has_the_promised_keys_and_nothing_else_is_printed(benchmark: list[bool]) -> None:
    result = CliRunner().invoke(commands.bench, ["fixture", "--quick", "--json"])
    assert result.exit_code == 0
    printed = json.loads(result.stdout)
    assert benchmark == [True]
    assert {"machine", "rows"} <= set(printed)
    assert all(set(row) >= KEYS for row in printed["rows"])
    assert [row["met"] for row in printed["rows"]] == [True, True]
    assert [row["ratio"] for row in printed["rows"]] == [None, 1.5]


def test_table_for_a_person(benchmark: list[bool]) -> None:
    result = CliRunner().invoke(commands.bench, ["fixture"], env={"COLUMNS": "160"})
    assert result.exit_code == 0
    assert benchmark == [False]
    for text in ("≥ 200", "≤ 100", "other 1.0", "1.50", "yes", "A benchmark for the test."):
        assert text in result.output


def test_list_says_what_cannot_run_here(benchmark: list[bool]) -> None:
    result = CliRunner().invoke(commands.bench, ["--list"])
    assert result.output.splitlines()[0].split(maxsplit=1) == ["fixture", "A benchmark for the test."]
    assert "not available: No module named 'fixture_not_there'" in result.output
    assert benchmark == []


def test_a_benchmark_that_cannot_run_is_an_error(benchmark: list[bool]) -> None:
    assert CliRunner().invoke(commands.bench, ["gone"]).exit_code == 1
    assert CliRunner().invoke(commands.bench, []).exit_code == 2


@pytest.mark.parametrize(
    ("ours", "goal", "smaller", "met"),
    [(9.0, 10.0, True, True), (10.0, 10.0, True, True), (11.0, 10.0, True, False), (9.0, 10.0, False, False),
     (None, 10.0, True, None), (9.0, None, True, None)],
)  # fmt: skip
def test_met(ours: float | None, goal: float | None, smaller: bool, met: bool | None) -> None:
    assert Row("c", "m", "ms", ours, goal, smaller_is_better=smaller).met is met


def test_only_what_watches_memory_takes_a_time(benchmark: list[bool]) -> None:
    result = CliRunner().invoke(commands.bench, ["fixture", "--seconds", "5"])
    assert result.exit_code == 2
    assert "fixture takes no --seconds" in result.output
    assert benchmark == []


def test_delays_are_told_by_the_upper_end_of_their_step() -> None:
    delays = Delays()
    assert delays.quantile(0.5) is None
    for ms in range(1, 101):
        delays.add(float(ms))
    delays.add(1e9)
    delays.add(-1.0)
    assert delays.quantile(0.5) == pytest.approx(50.0, abs=0.02)
    assert delays.quantile(0.99) == pytest.approx(100.0, abs=0.02)
    assert delays.longest_ms == 1e9
