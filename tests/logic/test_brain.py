"""Stories that a protection engineer would tell: each names a cause and the end that must follow."""

from __future__ import annotations

from agent.logic.messages import CommandKind, CommandResult, Refusal
from tests.logic.lab import MS, Lab, feeder

TWO_FEEDERS = {
    "F1": ("BB1", "Z11", "cb"),
    "R11": ("Z11", "Z12", "cb"),
    "L12": ("Z12", "Z13", "lbs"),
    "T1": ("Z13", "Z22", "lbs open"),
    "F2": ("BB2", "Z21", "cb"),
    "L21": ("Z21", "Z22", "lbs"),
}
LOADS = {"Z11": 500.0, "Z12": 400.0, "Z13": 300.0, "Z21": 600.0, "Z22": 500.0}


def lab(**more: object) -> Lab:
    return Lab(feeder(TWO_FEEDERS, ("BB1", "BB2"), LOADS, **more))  # type: ignore[arg-type]


def test_fault_between_two_breakers_is_isolated_locked_and_the_rest_fed_from_the_neighbour() -> None:
    bench = lab()
    bench.fault("Z11")
    bench.run(2_000 * MS)
    assert bench.open_devices() == {"F1", "R11"}
    assert bench.locked() == {"F1", "R11"}
    assert bench.energised() == {"BB1", "BB2", "Z12", "Z13", "Z21", "Z22"}


def test_fault_behind_a_load_break_switch_is_cleared_by_the_breaker_above_which_closes_again() -> None:
    bench = lab()
    bench.fault("Z13")
    bench.run(2_000 * MS)
    assert bench.open_devices() == {"L12", "T1"}
    assert bench.locked() == {"L12", "T1"}
    assert "R11" in bench.events("trip")
    assert bench.energised() == {"BB1", "BB2", "Z11", "Z12", "Z21", "Z22"}


def test_fault_in_the_middle() -> None:
    bench = lab()
    bench.fault("Z12")
    bench.run(2_000 * MS)
    assert bench.open_devices() == {"R11", "L12"}
    assert bench.locked() == {"R11", "L12"}
    assert bench.energised() == {"BB1", "BB2", "Z11", "Z13", "Z21", "Z22"}


def test_stuck_boundary_breaker_widens_the_isolation_by_one_device() -> None:
    bench = lab()
    bench.stuck = {bench.net.device_index["R11"]}
    bench.fault("Z12")
    bench.run(3_000 * MS)
    assert {"F1", "L12"} <= bench.open_devices()
    assert {"F1", "R11", "L12"} <= bench.locked()
    assert bench.energised() == {"BB1", "BB2", "Z13", "Z21", "Z22"}


def test_silent_agent_widens_to_the_next_that_is_certain() -> None:
    bench = lab()
    bench.kill("L12")
    bench.fault("Z12")
    bench.run(3_000 * MS)
    assert bench.open_devices() == {"R11", "T1"}
    assert {"R11", "T1"} <= bench.locked()
    assert bench.energised() == {"BB1", "BB2", "Z11", "Z21", "Z22"}


def test_lost_infeed_is_replaced_and_the_dead_source_cut_off() -> None:
    bench = Lab(feeder({"Q1": ("SRC1", "BB1", "cb"), **TWO_FEEDERS}, ("SRC1", "BB2"), LOADS))
    bench.source_on[next(z.index for z in bench.net.zones if z.name == "SRC1")] = False
    bench.plant()
    bench.run(3_000 * MS)
    assert bench.open_devices() == {"Q1"}
    assert bench.locked() == set()
    assert bench.energised() == {"BB1", "Z11", "Z12", "Z13", "BB2", "Z21", "Z22"}


def test_temporary_fault_is_reclosed_and_nothing_stays_locked() -> None:
    bench = lab(reclose={"F1": (500.0,)})
    bench.fault("Z11")
    bench.run(200 * MS)
    assert "F1" in bench.open_devices()
    bench.heal("Z11")
    bench.run(3_000 * MS)
    assert bench.open_devices() == {"T1"}
    assert bench.locked() == set()
    assert len(bench.energised()) == len(bench.net.zones)


def test_permanent_fault_with_reclose_locks_after_the_last_shot() -> None:
    bench = lab(reclose={"F1": (500.0,)})
    bench.fault("Z11")
    bench.run(4_000 * MS)
    assert bench.events("close")[0] == "F1"
    assert bench.locked() == {"F1", "R11"}
    assert bench.energised() == {"BB1", "BB2", "Z12", "Z13", "Z21", "Z22"}


def test_permanent_fault_behind_a_switch_with_reclose_above() -> None:
    bench = lab(reclose={"R11": (500.0,)})
    bench.fault("Z13")
    bench.run(5_000 * MS)
    assert bench.locked() == {"L12", "T1"}
    assert bench.open_devices() == {"L12", "T1"}
    assert bench.energised() == {"BB1", "BB2", "Z11", "Z12", "Z21", "Z22"}


def test_two_faults_in_series_are_both_found() -> None:
    bench = lab()
    bench.fault("Z12")
    bench.fault("Z11")
    bench.run(3_000 * MS)
    assert {"F1", "R11", "L12"} == bench.locked()
    assert bench.energised() == {"BB1", "BB2", "Z13", "Z21", "Z22"}


def test_generation_below_the_fault_is_not_taken_for_a_fault_beyond() -> None:
    bench = lab(ders={"Z13": 500.0})
    bench.fault("Z12")
    bench.run(3_000 * MS)
    assert bench.locked() == {"R11", "L12"}


def test_without_capacity_the_hospital_is_fed_and_the_rest_is_shed() -> None:
    loads = {"Z11": 500.0, "Z12": 2_500.0, "Z13": 2_000.0, "Z21": 1_600.0, "Z22": 1_500.0}
    bench = Lab(feeder(TWO_FEEDERS, ("BB1", "BB2"), loads, rating_a=400.0, priorities={"Z13": 1}))
    bench.fault("Z11")
    bench.run(3_000 * MS)
    assert "Z13" in bench.energised()
    assert "Z12" not in bench.energised()
    assert bench.open_devices() == {"F1", "R11", "L12"}


def test_locked_device_refuses_every_close_until_released_at_the_device() -> None:
    bench = lab()
    bench.fault("Z11")
    bench.run(2_000 * MS)
    bench.command("F1", CommandKind.CLOSE)
    bench.command("F1", CommandKind.RELEASE, local=False)
    results = [e.refusal for _, _, e in bench.log if isinstance(e, CommandResult)]
    assert results == [Refusal.LOCKED_OUT, Refusal.NOT_AUTHORISED]
    assert "F1" in bench.open_devices()


def test_after_repair_the_network_goes_back_to_normal_by_orders() -> None:
    bench = lab()
    bench.fault("Z11")
    bench.run(2_000 * MS)
    bench.heal("Z11")
    for name in ("F1", "R11"):
        bench.command(name, CommandKind.RELEASE)
    bench.run(2_000 * MS)
    assert bench.open_devices() == {"F1", "R11"}, "a released section waits for a person"
    bench.command("F1", CommandKind.CLOSE)
    bench.run(2_000 * MS)
    assert bench.open_devices() == {"R11"}
    bench.command("R11", CommandKind.RETURN_TO_NORMAL)
    bench.run(2_000 * MS)
    assert bench.open_devices() == {"T1"}
    assert len(bench.energised()) == len(bench.net.zones)


def test_nothing_moves_on_a_quiet_network() -> None:
    bench = lab()
    bench.run(10_000 * MS)
    assert bench.events("trip") == bench.events("close") == []
    assert bench.open_devices() == {"T1"}
