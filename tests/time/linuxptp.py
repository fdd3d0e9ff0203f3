"""Grandmaster and slave in two namespaces, ptp4l in both: our values beside those of pmc, then a jump and the loss.

Run as a program (it goes into a namespace of its own): prints one JSON object.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.time import client
from agent.time.clock import PtpSettings, PtpWatch, both_clocks_us
from agent.time.datasets import PortState, identity_text
from agent.time.ptp import Phase, PtpState, Reading
from simulator.lan import Host, Lan, Processes

DOMAIN = 93
PATIENCE_S = 60.0
HOLD_OVER_S = 6
SETTLE_S = 2
WITHOUT_CLOCK = ("setpriv", "--bounding-set=-sys_time", "--inh-caps=-sys_time")
"""ptp4l may not touch the machine's clock; it follows none the less, because both ends show the same one."""
COMMON = f"""\
[global]
domainNumber {DOMAIN}
delay_mechanism P2P
network_transport L2
time_stamping software
logAnnounceInterval 0
"""
GRANDMASTER = COMMON + "priority1 10\nclockClass 6\nclockAccuracy 0x21\n"
# The integral constant makes the servo estimate the frequency within a second instead of sixteen.
SLAVE = (
    COMMON
    + "slaveOnly 1\nclock_servo pi\nstep_threshold 0\nfirst_step_threshold 0\n"
    + "pi_proportional_const 0.7\npi_integral_const 0.3\n"
)
TRACEABLE = (
    "SET GRANDMASTER_SETTINGS_NP clockClass 6 clockAccuracy 0x21 offsetScaledLogVariance 0x4e5{0} currentUtcOffset {0} "
    "leap61 0 leap59 0 currentUtcOffsetValid 1 ptpTimescale 1 timeTraceable 1 frequencyTraceable 1 timeSource 0x20"
)
"""The grandmaster shows UTC; a slave that is told another offset than 0 believes to be wrong by as many seconds. It
looks at the offset again only when the quality changes, too."""
DATA_SETS = (
    "DEFAULT_DATA_SET",
    "CURRENT_DATA_SET",
    "PARENT_DATA_SET",
    "TIME_PROPERTIES_DATA_SET",
    "TIME_STATUS_NP",
    "PORT_DATA_SET",
    "PORT_PROPERTIES_NP",
)


class Lab:
    """The two clocks."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.lan = Lan.open()
        hosts = self.lan.host("grandmaster"), self.lan.host("slave")
        self.lan.join(*hosts, interface="ptp")
        self.processes = Processes()
        self.grandmaster = self.start(hosts[0], GRANDMASTER)
        self.slave = self.start(hosts[1], SLAVE)

    def socket(self, name: str) -> str:
        """Its management socket."""
        return str(self.directory / name)

    def start(self, host: Host, configuration: str) -> subprocess.Popen[bytes]:
        """A ptp4l on this host."""
        file = self.directory / f"{host.name}.cfg"
        file.write_text(f"{configuration}uds_address {self.socket(host.name)}\n")
        log = (self.directory / f"{host.name}.log").open("wb")
        argv = [*WITHOUT_CLOCK, "ptp4l", "-f", str(file), "-i", "ptp", "-m", "-q"]
        return self.processes.spawn(argv, host, log)

    def pmc(self, name: str, *commands: str) -> dict[str, str]:
        """What pmc prints: every value by its name."""
        argv = ["pmc", "-u", "-b", "0", "-d", str(DOMAIN), "-s", self.socket(name), "-i", self.socket("pmc"), *commands]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
        return dict(words for line in done.stdout.splitlines() if len(words := line.split(None, 1)) == 2)

    def read(self, name: str = "slave") -> Reading | None:
        """Ours; None if it does not answer."""
        try:
            return client.read(self.socket(name), DOMAIN, 5.0)
        except client.NoAnswerError:
            return None

    def until_slave(self) -> None:
        """The slave follows a grandmaster whose time is traced to UTC."""
        end = time.monotonic() + PATIENCE_S
        told = False
        while time.monotonic() < end:
            reading = self.read()
            if reading is not None and reading.slave is not None:
                if not told:
                    self.pmc("grandmaster", TRACEABLE.format(0))
                    told = True
                elif reading.traceable and reading.ports[0].peer_delay_ns:
                    return
            time.sleep(0.2)
        logs = [(self.directory / f"{name}.log").read_text()[-1500:] for name in ("grandmaster", "slave")]
        raise SystemExit("\n".join(["the slave did not follow", *logs]))


def ours(reading: Reading) -> dict[str, str]:
    """Our values in pmc's words."""
    default, parent, port, interface = reading.default, reading.parent, reading.ports[0], reading.interfaces[0]
    flags = int(reading.properties.flags)
    named = ("leap61", "leap59", "currentUtcOffsetValid", "ptpTimescale", "timeTraceable", "frequencyTraceable")
    return {
        "twoStepFlag": str(int(default.two_step)),
        "slaveOnly": str(int(default.slave_only)),
        "numberPorts": str(default.ports),
        "priority1": str(default.priority1),
        "priority2": str(default.priority2),
        "clockClass": str(default.quality.clock_class),
        "clockAccuracy": f"{default.quality.accuracy:#x}",
        "offsetScaledLogVariance": f"{default.quality.variance:#x}",
        "clockIdentity": identity_text(default.identity),
        "domainNumber": str(default.domain),
        "stepsRemoved": str(reading.current.steps_removed),
        "offsetFromMaster": f"{reading.current.offset_ns:.1f}",
        "meanPathDelay": f"{reading.current.mean_path_delay_ns:.1f}",
        "parentPortIdentity": str(parent.port),
        "parentStats": str(int(parent.statistics)),
        "observedParentOffsetScaledLogVariance": f"{parent.variance:#x}",
        "observedParentClockPhaseChangeRate": f"{parent.phase_change_rate:#x}",
        "grandmasterPriority1": str(parent.priority1),
        "grandmasterPriority2": str(parent.priority2),
        "gm.ClockClass": str(parent.quality.clock_class),
        "gm.ClockAccuracy": f"{parent.quality.accuracy:#x}",
        "gm.OffsetScaledLogVariance": f"{parent.quality.variance:#x}",
        "grandmasterIdentity": identity_text(parent.grandmaster),
        "currentUtcOffset": str(reading.properties.utc_offset_s),
        **{name: str(flags >> bit & 1) for bit, name in enumerate(named)},
        "timeSource": f"{reading.properties.source:#x}",
        "master_offset": str(reading.status.offset_ns),
        "ingress_time": str(reading.status.ingress_ns),
        "gmPresent": str(reading.status.present).lower(),
        "gmIdentity": identity_text(reading.status.grandmaster),
        "portIdentity": str(port.identity),
        "portState": port.state.name,
        "logMinDelayReqInterval": str(port.log_min_delay_request),
        "peerMeanPathDelay": str(int(port.peer_delay_ns)),
        "logAnnounceInterval": str(port.log_announce),
        "announceReceiptTimeout": str(port.announce_timeout),
        "logSyncInterval": str(port.log_sync),
        "delayMechanism": str(port.mechanism),
        "logMinPdelayReqInterval": str(port.log_min_peer_delay_request),
        "versionNumber": str(port.version),
        "timestamping": interface.stamping.name,
        "interface": interface.interface,
    }


def compare(lab: Lab) -> tuple[dict[str, str], dict[str, str]]:
    """Both of the same moment: read before and after pmc, again where something changed meanwhile."""
    for _ in range(50):
        before = lab.read()
        printed = lab.pmc("slave", *(f"GET {name}" for name in DATA_SETS))
        after = lab.read()
        if before is not None and before == after:
            return ours(before), printed
    raise SystemExit("the slave's values never stood still for a reading")


def follow(watch: PtpWatch, seconds: float, until: Callable[[PtpState], bool] = lambda _state: False) -> list[PtpState]:
    """Ask as the station process does, until it is told what is waited for."""
    states: list[PtpState] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        states.append(watch.check(*both_clocks_us()))
        if until(states[-1]):
            break
        time.sleep(0.1)
    return states


def told(states: list[PtpState]) -> list[dict[str, Any]]:
    """Each phase once, as it was told last."""
    rows: list[dict[str, Any]] = []
    for state in states:
        row = {"phase": state.phase.value, "good": state.time.good, "why": state.time.why,
               "error_us": state.time.error_us, "octet": state.time.quality.octet, "synch": int(state.time.synch),
               "source": state.time.source}  # fmt: skip
        if rows and rows[-1]["phase"] == row["phase"]:
            rows[-1] = row
        else:
            rows.append(row)
    return rows


def story(directory: Path) -> dict[str, Any]:
    """All of it."""
    lab = Lab(directory)
    try:
        lab.until_slave()
        mine, printed = compare(lab)
        settings = PtpSettings(
            lab.socket("slave"),
            DOMAIN,
            hold_over_us=HOLD_OVER_S * 1_000_000,
            settle_us=SETTLE_S * 1_000_000,
            timeout_s=2.0,
        )
        watch = PtpWatch(settings)
        locked = told(follow(watch, 3.0))
        shown = subprocess.run(
            [sys.executable, "-c", "from agent.time.commands import time; time()", "--json", "--socket",
             lab.socket("slave"), "--domain", str(DOMAIN)],
            capture_output=True, text=True, timeout=PATIENCE_S, check=True,
        )  # fmt: skip
        master = lab.read("grandmaster")
        lab.pmc("grandmaster", TRACEABLE.format(1))
        jumped = told(follow(watch, PATIENCE_S, lambda state: state.phase is Phase.SETTLING))
        lab.pmc("grandmaster", TRACEABLE.format(0))
        settled = told(follow(watch, PATIENCE_S, lambda state: state.time.good))
        lab.grandmaster.terminate()
        lab.grandmaster.wait(PATIENCE_S)
        lost = follow(watch, PATIENCE_S, lambda state: state.phase is Phase.LOST)
        present = lost[-1].reading is not None and lost[-1].reading.status.present
        lab.slave.terminate()
        lab.slave.wait(PATIENCE_S)
        silent = told(follow(watch, PATIENCE_S, lambda state: state.phase is Phase.SILENT))
        return {
            "ours": mine,
            "pmc": printed,
            "locked": locked,
            "command": json.loads(shown.stdout),
            "grandmaster": master is not None and [port.state is PortState.MASTER for port in master.ports],
            "lost": told(lost),
            "present_after_loss": present,
            "silent": silent,
            "jumped": jumped,
            "settled": settled,
        }
    finally:
        lab.processes.stop()
        lab.lan.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="ptp-") as name:
        print(json.dumps(story(Path(name))))
