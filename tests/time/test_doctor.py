"""``flisr doctor rt``: what a machine lacks, judged from facts; and that looking changes nothing."""

from __future__ import annotations

import json
import os
import resource
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

import agent.station.doctor
from agent.station.doctor import Facts, Verdict, facts, findings
from agent.station.doctor_commands import doctor

GOOD = Facts(
    fifo_refused="",
    lock_refused="",
    packet_refused="",
    rtprio_limit=99,
    memlock_limit=-1,
    kernel="6.1.0-rt",
    version="#1 SMP PREEMPT_RT Debian 6.1",
    realtime=True,
    dynamic="",
    cores=4,
    affinity=(0, 1, 2, 3),
    isolated="2-3",
    rt_runtime_us=950_000,
    rt_period_us=1_000_000,
    governors=("performance",),
    rmem_max=4 << 20,
    swaps=(),
    clocksource="tsc",
    ptp_clocks=("ptp0 (igb)",),
    timer_slack_ns=50_000,
)


def verdicts(machine: Facts) -> dict[str, Verdict]:
    return {item.name: item.verdict for item in findings(machine)}


def test_a_machine_that_lacks_nothing() -> None:
    assert set(verdicts(GOOD).values()) == {Verdict.OK}


@pytest.mark.parametrize(
    ("machine", "name", "verdict"),
    [
        (replace(GOOD, fifo_refused="Operation not permitted"), "real-time priority", "missing"),
        (replace(GOOD, lock_refused="Cannot allocate memory"), "locked memory", "missing"),
        (replace(GOOD, packet_refused="Operation not permitted"), "raw frames", "missing"),
        (replace(GOOD, realtime=False, version="#1 SMP"), "kernel preemption", "missing"),
        (replace(GOOD, realtime=False, version="#1 SMP PREEMPT_DYNAMIC Debian"), "kernel preemption", "unknown"),
        (
            replace(GOOD, realtime=False, version="#1 SMP PREEMPT_DYNAMIC", dynamic="none (voluntary) full"),
            "kernel preemption",
            "missing",
        ),
        (
            replace(GOOD, realtime=False, version="#1 SMP PREEMPT_DYNAMIC", dynamic="none voluntary (full)"),
            "kernel preemption",
            "ok",
        ),
        (replace(GOOD, realtime=False, version="#1 SMP PREEMPT Debian"), "kernel preemption", "ok"),
        (replace(GOOD, rt_runtime_us=-1), "real-time throttling", "ok"),
        (replace(GOOD, rt_runtime_us=500_000), "real-time throttling", "missing"),
        (replace(GOOD, rt_runtime_us=None), "real-time throttling", "unknown"),
        (replace(GOOD, affinity=(1,)), "processors", "missing"),
        (replace(GOOD, isolated=""), "isolated processors", "missing"),
        (replace(GOOD, governors=("performance", "powersave")), "frequency governor", "missing"),
        (replace(GOOD, governors=()), "frequency governor", "unknown"),
        (replace(GOOD, rmem_max=212_992), "receive buffer", "missing"),
        (replace(GOOD, swaps=("/dev/sda2",)), "swap", "ok"),
        (replace(GOOD, swaps=("/dev/sda2",), lock_refused="no"), "swap", "missing"),
        (replace(GOOD, clocksource="hpet"), "clock source", "missing"),
        (replace(GOOD, ptp_clocks=()), "PTP hardware clock", "missing"),
        (replace(GOOD, timer_slack_ns=1_000_000, fifo_refused="no"), "timer slack", "missing"),
    ],
)
def test_each_lack_is_named_with_its_price_and_its_cure(machine: Facts, name: str, verdict: str) -> None:
    [found] = [item for item in findings(machine) if item.name == name]
    assert found.verdict.value == verdict
    assert found.costs
    assert found.mend


def test_facts_are_read_where_linux_keeps_them(tmp_path: Path) -> None:
    for name, text in {
        "proc/sys/kernel/sched_rt_runtime_us": "-1\n",
        "proc/sys/kernel/sched_rt_period_us": "1000000\n",
        "proc/sys/net/core/rmem_max": "212992\n",
        "proc/swaps": "Filename Type Size Used Priority\n/dev/vda2 partition 1 0 -2\n",
        "proc/cmdline": "root=/dev/vda1 preempt=voluntary preempt=full quiet\n",
        "sys/devices/system/cpu/isolated": "2-3\n",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave\n",
        "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor": "performance\n",
        "sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc\n",
        "sys/class/ptp/ptp0/clock_name": "igb\n",
        "dev/ptp0": "",
        "dev/ptp1": "",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    read = facts(tmp_path)
    assert (read.rt_runtime_us, read.rt_period_us, read.rmem_max) == (-1, 1_000_000, 212_992)
    assert read.swaps == ("/dev/vda2",)
    assert read.dynamic == "(full)"
    assert (read.isolated, read.clocksource) == ("2-3", "tsc")
    assert read.governors == ("performance", "powersave")
    assert read.ptp_clocks == ("ptp0 (igb)", "ptp1 (no name)")
    empty = facts(tmp_path / "nothing")
    assert (empty.rmem_max, empty.swaps, empty.governors, empty.ptp_clocks) == (None, None, (), ())


def test_looking_changes_nothing() -> None:
    before = os.sched_getscheduler(0), resource.getrlimit(resource.RLIMIT_MEMLOCK), locked_kb(), open_files()
    read = facts()
    assert (os.sched_getscheduler(0), resource.getrlimit(resource.RLIMIT_MEMLOCK), locked_kb(), open_files()) == before
    assert read.affinity
    assert len(findings(read)) == len(findings(GOOD))


def locked_kb() -> str:
    status = Path("/proc/self/status").read_text()
    return next(line for line in status.splitlines() if line.startswith("VmLck"))


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_the_exit_status_tells_of_essentials_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent.station.doctor, "facts", lambda: replace(GOOD, ptp_clocks=(), isolated=""))
    done = CliRunner().invoke(doctor, ["rt", "--json"])
    assert done.exit_code == 0
    answer = json.loads(done.stdout)
    assert answer["ready"]
    assert {row["name"] for row in answer["findings"] if row["verdict"] == "missing"} == {
        "isolated processors",
        "PTP hardware clock",
    }
    monkeypatch.setattr(agent.station.doctor, "facts", lambda: replace(GOOD, fifo_refused="Operation not permitted"))
    done = CliRunner().invoke(doctor, ["rt"], env={"COLUMNS": "160"})
    assert done.exit_code == 1
    assert "LimitRTPRIO=51" in done.stdout
    assert "essential and missing: real-time priority" in done.stderr
