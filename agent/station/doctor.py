"""What a machine lacks to answer in time: facts read from the kernel, then judged without it.

Rights are tried, not guessed from limits: in a child that asks for them and ends, so nothing is changed here.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from agent.station.realtime import MCL_CURRENT, MCL_FUTURE

PRIORITY = 50
RECEIVE_BUFFER = 1 << 20
"""What the core asks for."""
CORES = 2
GOOD_CLOCKS = ("tsc", "arch_sys_counter", "kvm-clock", "hyperv_clocksource_tsc_page", "riscv_clocksource")
"""Read without a system call."""
PR_GET_TIMERSLACK = 30
UNLIMITED = -1


class Verdict(StrEnum):
    """Of one line."""

    OK = "ok"
    MISSING = "missing"
    UNKNOWN = "unknown"


class Finding(NamedTuple):
    """One line."""

    name: str
    verdict: Verdict
    here: str
    costs: str = ""
    mend: str = ""
    essential: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """The machine and our rights on it; None and empty: not told. Refusals are the kernel's words, "" if permitted."""

    fifo_refused: str
    lock_refused: str
    packet_refused: str
    rtprio_limit: int
    memlock_limit: int
    kernel: str
    version: str
    realtime: bool
    dynamic: str
    cores: int
    affinity: tuple[int, ...]
    isolated: str
    rt_runtime_us: int | None
    rt_period_us: int | None
    governors: tuple[str, ...]
    rmem_max: int | None
    swaps: tuple[str, ...] | None
    clocksource: str
    ptp_clocks: tuple[str, ...]
    timer_slack_ns: int | None


def facts(root: Path = Path("/")) -> Facts:
    """Read them; ``root`` is where proc, sys and dev are."""
    proc, system = root / "proc/sys", root / "sys"
    cpus = sorted((system / "devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor"))
    swaps = _text(root / "proc/swaps")
    return Facts(
        fifo_refused=_tried(_try_fifo),
        lock_refused=_tried(_try_lock),
        packet_refused=_tried(_try_packet),
        rtprio_limit=resource.getrlimit(resource.RLIMIT_RTPRIO)[0],
        memlock_limit=resource.getrlimit(resource.RLIMIT_MEMLOCK)[0],
        kernel=platform.release(),
        version=platform.version(),
        realtime=_text(system / "kernel/realtime") == "1",
        dynamic=_text(system / "kernel/debug/sched/preempt") or _asked_for(_text(root / "proc/cmdline")),
        cores=os.cpu_count() or 1,
        affinity=tuple(sorted(os.sched_getaffinity(0))),
        isolated=_text(system / "devices/system/cpu/isolated"),
        rt_runtime_us=_number(proc / "kernel/sched_rt_runtime_us"),
        rt_period_us=_number(proc / "kernel/sched_rt_period_us"),
        governors=tuple(sorted({_text(cpu) for cpu in cpus})),
        rmem_max=_number(proc / "net/core/rmem_max"),
        swaps=tuple(line.split()[0] for line in swaps.splitlines()[1:]) if swaps else None,
        clocksource=_text(system / "devices/system/clocksource/clocksource0/current_clocksource"),
        ptp_clocks=tuple(
            f"{device.name} ({_text(system / 'class/ptp' / device.name / 'clock_name') or 'no name'})"
            for device in sorted((root / "dev").glob("ptp[0-9]*"))
        ),
        timer_slack_ns=_timer_slack(),
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    try:
        return int(_text(path))
    except ValueError:
        return None


def _asked_for(boot: str) -> str:
    """The preemption that was asked for at boot, in the form that the kernel shows it in."""
    return next((f"({word[8:]})" for word in reversed(boot.split()) if word.startswith("preempt=")), "")


def _timer_slack() -> int | None:
    slack = int(ctypes.CDLL(None, use_errno=True).prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0))
    return None if slack < 0 else slack


def _try_fifo() -> None:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))


def _try_lock() -> None:
    if ctypes.CDLL(None, use_errno=True).mlockall(MCL_CURRENT | MCL_FUTURE) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _try_packet() -> None:
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()


def _tried(right: Callable[[], None]) -> str:
    """Ask for a right in a child, which ends with it; the kernel's words if it refuses."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            right()
        except OSError as error:
            os.write(write, (error.strerror or str(error)).encode())
        except BaseException:
            os.write(write, b"failed")
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        refused = pipe.read().decode(errors="replace")
    os.waitpid(child, 0)
    return refused


def findings(machine: Facts) -> list[Finding]:
    """Every line, the essential ones first."""
    return [*_rights(machine), *_kernel(machine), *_processors(machine), *_memory(machine), *_clocks(machine)]


def _judge(good: bool, known: bool = True) -> Verdict:
    return (Verdict.OK if good else Verdict.MISSING) if known else Verdict.UNKNOWN


def _limit(value: int) -> str:
    return "unlimited" if value == UNLIMITED else str(value)


def _rights(machine: Facts) -> Iterator[Finding]:
    """Without these the agent is no real-time program."""
    yield Finding(
        "real-time priority",
        _judge(not machine.fifo_refused),
        f"SCHED_FIFO {PRIORITY} {machine.fifo_refused or 'permitted'}, RLIMIT_RTPRIO {_limit(machine.rtprio_limit)}",
        "Any busy process delays a trip by milliseconds.",
        f"systemd: LimitRTPRIO={PRIORITY + 1}, or CAP_SYS_NICE; container: --cap-add SYS_NICE --ulimit rtprio=99.",
        essential=True,
    )
    yield Finding(
        "locked memory",
        _judge(not machine.lock_refused),
        f"mlockall {machine.lock_refused or 'permitted'}, RLIMIT_MEMLOCK {_limit(machine.memlock_limit)}",
        "A page fault on the way to a trip waits for the disk.",
        "systemd: LimitMEMLOCK=infinity, or CAP_IPC_LOCK; container: --ulimit memlock=-1.",
        essential=True,
    )
    yield Finding(
        "raw frames",
        _judge(not machine.packet_refused),
        f"AF_PACKET {machine.packet_refused or 'permitted'}",
        "No GOOSE and no Sampled Values on Ethernet; --udp works without.",
        "systemd: AmbientCapabilities=CAP_NET_RAW, and AF_PACKET in RestrictAddressFamilies.",
        essential=True,
    )


def _kernel(machine: Facts) -> Iterator[Finding]:
    full = machine.realtime or "PREEMPT_RT" in machine.version
    preemptible = full or "(full)" in machine.dynamic or "PREEMPT " in f"{machine.version} "
    model = "PREEMPT_RT" if full else machine.dynamic or _model(machine.version)
    yield Finding(
        "kernel preemption",
        _judge(preemptible, full or bool(machine.dynamic) or "PREEMPT_DYNAMIC" not in machine.version),
        f"{machine.kernel}: {model}",
        "The kernel may keep a processor for some milliseconds.",
        "Boot with preempt=full, better a PREEMPT_RT kernel.",
    )
    runtime, period = machine.rt_runtime_us, machine.rt_period_us
    share = f"{runtime} of {period} us" if runtime != UNLIMITED else "no limit"
    yield Finding(
        "real-time throttling",
        _judge(runtime == UNLIMITED or bool(runtime and period and runtime * 10 >= period * 9), runtime is not None),
        share if runtime is not None else "not told",
        "A real-time thread that runs for so long is stopped for the rest of the period; ours block and stay below.",
        "sysctl kernel.sched_rt_runtime_us=950000.",
    )


def _model(version: str) -> str:
    words = [word for word in version.split() if word.startswith("PREEMPT")]
    return words[0] if words else "no preemption"


def _processors(machine: Facts) -> Iterator[Finding]:
    usable = len(machine.affinity)
    yield Finding(
        "processors",
        _judge(usable >= CORES),
        f"{usable} of {machine.cores} usable",
        "Samples, brain and station process wait for each other.",
        f"Give the agent {CORES}: CPUAffinity= of systemd, --cpuset-cpus of a container.",
    )
    yield Finding(
        "isolated processors",
        _judge(bool(machine.isolated)),
        machine.isolated or "none",
        "Interrupts and other processes share the agent's processors: tens of microseconds, rarely milliseconds.",
        "Boot with isolcpus=, nohz_full= and rcu_nocbs= for two processors and start the agent there (taskset).",
    )
    yield Finding(
        "frequency governor",
        _judge(machine.governors == ("performance",), bool(machine.governors)),
        ", ".join(machine.governors) or "not told (virtual machine, or firmware decides)",
        "A processor that was slow must speed up first.",
        "cpupower frequency-set -g performance.",
    )


def _memory(machine: Facts) -> Iterator[Finding]:
    room = machine.rmem_max
    yield Finding(
        "receive buffer",
        _judge(room is not None and room >= RECEIVE_BUFFER, room is not None),
        f"at most {room} octets" if room is not None else "not told",
        "With --udp, a burst while the core is kept waiting is lost. Ethernet has a ring of its own.",
        f"sysctl net.core.rmem_max={RECEIVE_BUFFER}.",
    )
    swaps = machine.swaps
    yield Finding(
        "swap",
        _judge(not swaps or not machine.lock_refused, swaps is not None),
        "not told" if swaps is None else ", ".join(swaps) or "none",
        "What is swapped out comes back too late; locked memory would not be.",
        "swapoff -a, or permit locked memory.",
    )


def _clocks(machine: Facts) -> Iterator[Finding]:
    yield Finding(
        "clock source",
        _judge(machine.clocksource in GOOD_CLOCKS, bool(machine.clocksource)),
        machine.clocksource or "not told",
        "Each reading of the clock is a system call or worse.",
        "Boot with clocksource=tsc tsc=reliable if the processor's is invariant.",
    )
    yield Finding(
        "PTP hardware clock",
        _judge(bool(machine.ptp_clocks)),
        ", ".join(machine.ptp_clocks) or "none",
        "Time stamps by software: the clock follows within tens of microseconds instead of one.",
        "A network card that stamps frames (ethtool -T IF), and phc2sys.",
    )
    slack = machine.timer_slack_ns
    yield Finding(
        "timer slack",
        _judge(slack is not None and (slack <= 50_000 or not machine.fifo_refused), slack is not None),
        f"{slack} ns" if slack is not None else "not told",
        "Timers may fire so much late; those of real-time threads do not.",
        "Permit real-time priority, or write /proc/PID/timerslack_ns.",
    )
