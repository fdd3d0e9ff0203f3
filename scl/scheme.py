"""What an SCD says to our programs: the feeder, and who publishes and hears what under which address."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from scl.topology import Feeder

UDP_PORT = 102
"""R-GOOSE and R-SV (IEC 61850-8-1 Ed. 2.1) unless the SCD says otherwise."""


class Role(StrEnum):
    """What an IED is to the scheme, found from the LNodes of the switching devices."""

    AGENT = "agent"
    """Holds CSWI of a device."""
    BREAKER = "breaker"
    """Holds XCBR or XSWI of a device and no CSWI."""
    MERGING_UNIT = "merging_unit"
    """Publishes Sampled Values and controls nothing."""
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class GooseControl:
    """One GOOSE control block with its address (IEC 61850-6 GSEControl and GSE)."""

    ied: str
    cb_ref: str
    """gocbRef on the wire: ``F1_AGFLISR/LLN0$GO$gcbFlisr``."""
    dat_set: str
    """datSet on the wire: ``F1_AGFLISR/LLN0$dsFlisr``."""
    go_id: str
    appid: int
    mac: str
    """Destination, ``01-0C-CD-01-00-01``; empty if the SCD gives none."""
    vlan_id: int
    vlan_priority: int
    conf_rev: int
    min_time_ms: int
    max_time_ms: int
    ip: str | None
    """Multicast group of R-GOOSE; None if the SCD gives none."""
    port: int
    routed: bool
    """The SCD asks for R-GOOSE (element Protocol); otherwise layer 2 unless the agent is started for UDP."""
    members: tuple[str, ...]
    """Object references in the order of the data set, ``FLISR/CSWI1.Pos.stVal[ST]``."""

    @property
    def name(self) -> str:
        """The control block's name, ``gcbFlisr``."""
        return self.cb_ref.rpartition("$")[2]


@dataclass(frozen=True, slots=True)
class SvControl:
    """One multicast Sampled Values control block with its address (SampledValueControl and SMV)."""

    ied: str
    cb_ref: str
    dat_set: str
    sv_id: str
    appid: int
    mac: str
    vlan_id: int
    vlan_priority: int
    conf_rev: int
    smp_rate: int
    """Samples per nominal period or per second, as ``smp_mod`` says."""
    smp_mod: str
    """SmpPerPeriod or SmpPerSec."""
    no_asdu: int
    ip: str | None
    port: int
    routed: bool
    members: tuple[str, ...]

    @property
    def name(self) -> str:
        """The control block's name, ``msvcb01``."""
        return self.cb_ref.rpartition("$")[2]

    def samples_per_second(self, frequency_hz: float) -> float:
        """The stream's sample rate."""
        return self.smp_rate * frequency_hz if self.smp_mod == "SmpPerPeriod" else float(self.smp_rate)


@dataclass(frozen=True, slots=True)
class IedWire:
    """One IED on the wire."""

    name: str
    role: Role
    device: str | None
    """The switching device it serves; None for an IED outside the scheme."""
    goose_out: tuple[GooseControl, ...]
    goose_in: tuple[tuple[str, GooseControl], ...]
    """(publishing IED, its control block)."""
    sv_out: tuple[SvControl, ...]
    sv_in: tuple[tuple[str, SvControl], ...]
    ip: str | None = None
    """Address of its MMS server."""
    logical_devices: tuple[str, ...] = ()

    def goose(self, name: str) -> GooseControl:
        """Its own control block of that name; KeyError if it has none."""
        for control in self.goose_out:
            if control.name == name:
                return control
        raise KeyError(f"{self.name} has no GOOSE control block {name}")


@dataclass(frozen=True, slots=True)
class Scheme:
    """Everything that is derived from one SCD and its ratings file."""

    feeder: Feeder
    ieds: dict[str, IedWire]

    def agent_of(self, device: str) -> IedWire:
        """The agent's IED of a device."""
        return self.ieds[self.feeder.device(device).agent]

    def device_of_agent(self, ied: str) -> int:
        """Index of the device that an agent IED owns; KeyError if it owns none."""
        for index, device in enumerate(self.feeder.devices):
            if device.agent == ied:
                return index
        raise KeyError(f"{ied} is not the agent of any device")
