"""From SCL, ratings and key file to the compiled configuration of one agent. Imports lxml and PyYAML: run it apart.

Everything that is missing or contradicts something is refused here, with the file and the reason, before anything runs.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agent.cli import DISTRIBUTION
from agent.core.config import Layout
from agent.goose.dataset import DataSet, command_data_set, report_data_set, status_data_set
from agent.goose.described import misfits, stream_of
from agent.goose.stream import Stream
from agent.security.frames import Key
from agent.security.iv import fixed_field
from agent.station import plain
from agent.station.config import AgentConfig, LinkConfig, PeerName, PeerStream, SvConfig
from agent.station.keyset import config_of, groups_of, living, samples_problems
from agent.station.shown import ServedModel, Subscription
from scl import flisr_dataset as names
from scl.problem import SclError
from scl.scheme import GooseControl, IedWire, Role, Scheme, SvControl
from scl.topology import DeviceKind

if TYPE_CHECKING:
    from agent.security.keys import KeyRing
    from agent.station.launch import Options


class ConfigurationError(Exception):
    """What does not fit, one sentence a line."""

    def __init__(self, *lines: str) -> None:
        super().__init__("; ".join(lines))
        self.lines = lines


def problems(error: Exception) -> list[str]:
    """An exception as lines for a person; SCL errors bring their own list with line numbers."""
    if isinstance(error, SclError):
        return str(error).splitlines()
    if isinstance(error, ConfigurationError):
        return list(error.lines)
    if isinstance(error, OSError | ValueError | KeyError):
        return [str(error).strip("'\"")]
    return [f"internal error: {type(error).__name__}: {error}"]


def agent_config(options: Options) -> AgentConfig:
    """Compile; raises with everything that is wrong."""
    from agent.security import keys as key_file
    from scl import derive

    scheme = derive.read(options.scd, options.ratings)
    ied = scheme.ieds.get(options.ied)
    if ied is None or ied.role is not Role.AGENT or ied.device is None:
        agents = ", ".join(sorted(name for name, entry in scheme.ieds.items() if entry.role is Role.AGENT))
        raise ConfigurationError(f"{options.scd}: {options.ied} is not the IED of an agent; there are: {agents}")
    if options.keys is None:
        raise ConfigurationError("no keys")
    config = _Compiler(options, scheme, ied).compile(key_file.load(options.keys))
    # Keys come and go while the process runs: they do not make it another one.
    lasting = replace(config, keys=(), sv=None if config.sv is None else config.sv._replace(keys=()))
    body = json.dumps(plain.dump(lasting), sort_keys=True).encode()
    return plain.load(AgentConfig, {**plain.dump(config), "digest": hashlib.sha256(body).hexdigest()})


def served_model(options: Options, agent: AgentConfig) -> ServedModel:
    """The data model of the MMS server: what the SCD says of this IED; UndescribedError if that is none."""
    from agent.mms.described import read_tree
    from scl.read import parse

    streams = [*(peer.stream for peer in agent.reports_in), agent.status_in]
    return ServedModel(
        read_tree(parse(options.scd), options.ied),
        tuple(Subscription(stream.gocb_ref, stream.conf_rev) for stream in streams),
        0 if agent.sv is None else agent.sv.conf_rev,
        importlib.metadata.version(DISTRIBUTION),
    )


def layout_of(control: SvControl, frequency_hz: float) -> Layout | None:
    """How the core reads this stream; None if it cannot."""
    wanted = (round(control.samples_per_second(frequency_hz)), control.no_asdu, round(frequency_hz))
    return next((layout for layout in Layout if (layout.rate, layout.asdus, layout.frequency) == wanted), None)


class _Compiler:
    def __init__(self, options: Options, scheme: Scheme, ied: IedWire) -> None:
        self.options = options
        self.scheme = scheme
        self.ied = ied
        self.index = scheme.device_of_agent(ied.name)
        self.device = scheme.feeder.devices[self.index]
        self.wrong: list[str] = []

    def compile(self, ring: KeyRing) -> AgentConfig:
        """All parts; ConfigurationError with the whole list of what is wrong."""
        feeder = self.scheme.feeder
        reports = report_data_set(len(feeder.zones), len(feeder.devices))
        breaker = self.device.kind is DeviceKind.BREAKER
        status = status_data_set("XCBR" if breaker else "XSWI")
        report_out = self._own(names.FLISR_CONTROL, reports)
        order_out = self._own(names.OPER_CONTROL, command_data_set())
        heard = {(publisher, control.name): control for publisher, control in self.ied.goose_in}
        reports_in = []
        for index, device in enumerate(feeder.devices):
            control = heard.get((device.agent, names.FLISR_CONTROL))
            if index == self.index:
                continue
            if control is None:
                self.wrong.append(f"{self.ied.name} does not subscribe to {names.FLISR_CONTROL} of {device.agent}")
                continue
            reports_in.append(PeerStream(index, self._stream(control, reports)))
        position = heard.get((self.device.breaker_ied, names.POS_CONTROL))
        if position is None:
            breaker_ied = self.device.breaker_ied
            self.wrong.append(f"{self.ied.name} does not subscribe to {names.POS_CONTROL} of {breaker_ied}")
        group, samples_group = groups_of(ring)
        keys = ring.group(group)
        sv = self._sv(samples_group, living(ring.group(samples_group), ring.grace_s, time.time_ns() // 1000))
        self._check_keys(keys)
        if self.wrong or report_out is None or order_out is None or position is None:
            raise ConfigurationError(*(f"{self.options.scd}: {line}" for line in self.wrong))
        options = self.options
        return AgentConfig(
            ied=self.ied.name,
            device=self.index,
            feeder=feeder,
            state_dir=str(options.state_dir.resolve()),
            priority=options.priority,
            link=LinkConfig(
                options.station_bus or "",
                options.process_bus or options.station_bus or "",
                options.udp_port if options.udp else 0,
                options.udp_interface,
            ),
            keys=tuple(map(config_of, keys)),
            report_out=report_out,
            order_out=order_out,
            reports_in=tuple(reports_in),
            status_in=self._stream(position, status),
            sv=sv,
            peers=tuple(PeerName(i, entry.name) for i, entry in enumerate(feeder.devices) if i != self.index),
            key_grace_s=ring.grace_s,
        )

    def _check_keys(self, keys: tuple[Key, ...]) -> None:
        """What GOOSE cannot be signed with, here or by somebody who must not be taken for us."""
        for key in keys:
            if key.algorithm.encrypts and not self.options.udp:
                self.wrong.append(
                    f"{names.FLISR_CONTROL}, {names.OPER_CONTROL} of {self.ied.name}: key {key.identifier} of group "
                    f"{key.group!r} is {key.algorithm.text}, which encrypts sessions (R-GOOSE); on Ethernet GOOSE is "
                    f"signed, by HMAC or GMAC"
                )
        if any(key.algorithm.iv_size for key in keys):
            ours = fixed_field(self.ied.name)
            self.wrong += [
                f"{self.ied.name} and {other} would use the same IVs: name one of them otherwise"
                for other in self.scheme.ieds
                if other != self.ied.name and fixed_field(other) == ours
            ]

    def _own(self, name: str, data_set: DataSet[Any]) -> Stream | None:
        try:
            return self._stream(self.ied.goose(name), data_set)
        except KeyError as error:
            self.wrong.append(str(error).strip("'"))
            return None

    def _stream(self, control: GooseControl, data_set: DataSet[Any]) -> Stream:
        self.wrong += misfits(control, data_set, self.options.udp)
        return stream_of(control, data_set, self.options.udp, self.options.udp_port)

    def _sv(self, samples_group: str, keys: tuple[Key, ...]) -> SvConfig | None:
        unit = self.device.merging_unit
        if unit is None:
            return None
        control = next((control for publisher, control in self.ied.sv_in if publisher == unit), None)
        if control is None:
            self.wrong.append(f"{self.ied.name} does not subscribe to the samples of {unit}")
            return None
        layout = layout_of(control, self.scheme.feeder.frequency_hz)
        if layout is None:
            rate = control.samples_per_second(self.scheme.feeder.frequency_hz)
            self.wrong.append(f"{control.cb_ref}: {rate:g} samples/s with {control.no_asdu} ASDUs is not supported")
            return None
        group = (control.ip or "") if self.options.udp else ""
        if self.options.udp and not group:
            self.wrong.append(f"{control.cb_ref}: no multicast group (IP) for R-SV")
        self.wrong += [f"{control.cb_ref}: {problem}" for problem in samples_problems(samples_group, keys)]
        return SvConfig(
            control.sv_id, control.appid, control.mac, layout.name, control.conf_rev, group,
            tuple(map(config_of, keys)),
        )  # fmt: skip
