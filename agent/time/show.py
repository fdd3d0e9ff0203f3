"""The state of the clock for people (a table) and for programs (plain values)."""

from __future__ import annotations

from typing import Any

from rich.markup import escape
from rich.table import Table

from agent.time.datasets import Properties, identity_text
from agent.time.ptp import PtpSettings, PtpState, Reading
from agent.time.quality import UNSPECIFIED, TimeState, clock_accuracy_ns

NETWORKS = {1: "UDP/IPv4", 2: "UDP/IPv6", 3: "Ethernet"}
MECHANISMS = {1: "E2E", 2: "P2P", 3: "common P2P", 4: "special", 0xFE: "none"}
POWER_VERSIONS = {1: "IEEE C37.238-2011", 2: "IEEE C37.238-2017"}


def document(state: PtpState, kernel: TimeState, settings: PtpSettings, why_silent: str) -> dict[str, Any]:
    """All of it, in plain values."""
    time = state.time
    return {
        "good": time.good,
        "why": time.why,
        "source": time.source,
        "phase": state.phase.value,
        "error_us": time.error_us,
        "smp_synch": int(time.synch),
        "time_quality": {**time.quality._asdict(), "octet": time.quality.octet},
        "profile": settings.profile.value,
        "deviations": list(state.deviations),
        "domain": settings.domain,
        "ptp": None if state.reading is None else _reading(state.reading, state.age_us),
        "ptp_silent": why_silent or None,
        "kernel": {"good": kernel.good, "why": kernel.why, "error_us": kernel.error_us},
    }


def _reading(reading: Reading, age_us: int | None) -> dict[str, Any]:
    flags = reading.properties.flags
    interfaces = {interface.identity: interface for interface in reading.interfaces}
    ports = []
    for port in reading.ports:
        interface = interfaces.get(port.identity)
        ports.append(
            {
                "port": str(port.identity),
                "interface": None if interface is None else interface.interface,
                "state": port.state.name,
                "stamping": None if interface is None else interface.stamping.name.lower(),
                "mechanism": MECHANISMS.get(port.mechanism, str(port.mechanism)),
                "peer_delay_ns": port.peer_delay_ns,
                "announce_interval_s": _interval(port.log_announce),
                "sync_interval_s": _interval(port.log_sync),
            }
        )
    quality = reading.parent.quality
    return {
        "identity": identity_text(reading.default.identity),
        "slave_only": reading.default.slave_only,
        "offset_ns": reading.status.offset_ns,
        "delay_ns": reading.delay_ns,
        "sync_age_us": age_us,
        "steps_removed": reading.current.steps_removed,
        "parent": str(reading.parent.port),
        "grandmaster": {
            "identity": identity_text(reading.parent.grandmaster),
            "priority1": reading.parent.priority1,
            "priority2": reading.parent.priority2,
            "clock_class": quality.clock_class,
            "clock_accuracy": quality.accuracy,
            "clock_accuracy_ns": clock_accuracy_ns(quality.accuracy),
        },
        "time": {
            "utc_offset_s": reading.properties.utc_offset_s,
            "utc_offset_valid": Properties.UTC_OFFSET_VALID in flags,
            "ptp_timescale": Properties.PTP_TIMESCALE in flags,
            "time_traceable": Properties.TIME_TRACEABLE in flags,
            "frequency_traceable": Properties.FREQUENCY_TRACEABLE in flags,
            "leap_61": Properties.LEAP_61 in flags,
            "leap_59": Properties.LEAP_59 in flags,
            "source": reading.properties.source,
        },
        "network": None if reading.description is None else NETWORKS.get(reading.description.protocol, "other"),
        "profile_identity": None if reading.description is None else reading.description.profile.hex("-"),
        "power_profile": _power(reading),
        "ports": ports,
    }


def _interval(log: int) -> float:
    return float(2.0**log)


def _power(reading: Reading) -> dict[str, Any] | None:
    power = reading.power
    if power is None or power.version not in POWER_VERSIONS:
        return None
    return {
        "version": POWER_VERSIONS[power.version],
        "grandmaster_id": power.grandmaster,
        "grandmaster_inaccuracy_ns": power.grandmaster_ns,
        "network_inaccuracy_ns": power.network_ns,
        "total_inaccuracy_ns": power.total_ns,
    }


def table(shown: dict[str, Any]) -> Table:
    """For a terminal, from :func:`document`."""
    made = Table(show_header=False, box=None, pad_edge=False)
    made.add_column(style="bold", no_wrap=True)
    made.add_column()
    verdict = "[green]good[/]" if shown["good"] else "[red]bad[/]"
    made.add_row("time", f"{verdict}: {escape(shown['why'])}")
    made.add_row("told by", shown["source"] + ("" if shown["source"] == "ptp" else ", the poorer source"))
    made.add_row("phase", shown["phase"])
    made.add_row("error at most", f"{shown['error_us']} us" if shown["error_us"] else "not known")
    made.add_row("smpSynch", f"{shown['smp_synch']} ({('none', 'local', 'global')[shown['smp_synch']]})")
    made.add_row("TimeQuality", _quality(shown["time_quality"]))
    if shown["ptp"] is not None:
        _add_ptp(made, shown["ptp"])
    if shown["profile"] != "any" and shown["ptp"] is not None:
        made.add_row("profile", f"{shown['profile']}: {', '.join(shown['deviations']) or 'nothing deviates'}")
    if shown["ptp_silent"]:
        made.add_row("linuxptp", escape(shown["ptp_silent"]))
    kernel = shown["kernel"]
    made.add_row("kernel", f"{kernel['why']} (at most {kernel['error_us']} us)")
    return made


def _quality(quality: dict[str, Any]) -> str:
    words = [name.replace("_", " ") for name in ("leap_seconds_known", "clock_failure", "clock_not_synchronized")
             if quality[name]]  # fmt: skip
    bits = quality["accuracy"]
    words.append("accuracy unspecified" if bits == UNSPECIFIED else f"{bits} bits of a second")
    return f"0x{quality['octet']:02X} ({', '.join(words)})"


def _add_ptp(made: Table, ptp: dict[str, Any]) -> None:
    master, time = ptp["grandmaster"], ptp["time"]
    accuracy = master["clock_accuracy_ns"]
    known = "unknown" if accuracy is None else f"{accuracy:g} ns"
    age = ptp["sync_age_us"]
    made.add_row(
        "offset", f"{ptp['offset_ns']} ns, last Sync " + ("never" if age is None else f"{age / 1e6:.1f} s ago")
    )
    made.add_row("path delay", f"{ptp['delay_ns']:.0f} ns, {ptp['steps_removed']} steps from the grandmaster")
    made.add_row("grandmaster", f"{master['identity']}, class {master['clock_class']}, accuracy {known}")
    flags = [name.replace("_", " ") for name in ("ptp_timescale", "time_traceable", "frequency_traceable",
             "utc_offset_valid", "leap_61", "leap_59") if time[name]]  # fmt: skip
    made.add_row("its time", f"UTC offset {time['utc_offset_s']} s, {', '.join(flags) or 'no flag set'}")
    for port in ptp["ports"]:
        stamping = "unknown" if port["stamping"] is None else port["stamping"].replace("_", " ")
        text = f"{port['state']}, {stamping} time stamps, {port['mechanism']}, Sync every {port['sync_interval_s']:g} s"
        made.add_row(escape(f"port {port['interface'] or port['port']}"), text)
    if ptp["power_profile"] is not None:
        power = ptp["power_profile"]
        made.add_row("would send", f"{power['version']}, total inaccuracy {power['total_inaccuracy_ns']} ns")
