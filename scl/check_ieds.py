"""What the schema cannot see in the IED part: types, data sets, control blocks, inputs."""

from __future__ import annotations

from collections.abc import Iterator

from scl.model import ControlBlock, ExtRef, Fcda, Ied, LogicalNode, Model
from scl.problem import Problem, Severity
from scl.wire import carries, number

E, W = Severity.ERROR, Severity.WARNING


def check_ieds(model: Model) -> Iterator[Problem]:
    """Every finding about IEDs."""
    for line, name in model.duplicate_ieds:
        yield Problem(line, E, "duplicate-ied", f"IED {name} is there twice")
    for line, text in model.templates.duplicates:
        yield Problem(line, E, "duplicate-type", f"{text} is there twice")
    yield from _templates(model)
    known: dict[tuple[str | None, ...], str | None] = {}
    for ied in model.ieds.values():
        if not ied.name:
            yield Problem(ied.line, E, "missing-name", "an IED has no name")
        for line, text in ied.duplicates:
            yield Problem(line, E, "duplicate-node", f"IED {ied.name}: {text}")
        for point, server in ied.access_points.items():
            if server and server not in ied.access_points:
                yield Problem(ied.line, E, "no-such-access-point", f"IED {ied.name}: {point} is ServerAt {server}")
        for device in ied.devices.values():
            for node in device.nodes.values():
                yield from _node(model, ied, node)
                for control in node.controls:
                    yield from _control(model, ied, node, control)
        for ref in ied.ext_refs():
            yield from _ext_ref(model, ied, ref, known)


def _templates(model: Model) -> Iterator[Problem]:
    templates = model.templates
    for id_, (line, _, objects) in templates.l_node_types.items():
        for name, type_ in objects.items():
            if type_ not in templates.do_types:
                yield Problem(line, E, "no-such-type", f"LNodeType {id_}: {name} is of DOType {type_}, not there")


def _node(model: Model, ied: Ied, node: LogicalNode) -> Iterator[Problem]:
    where = f"IED {ied.name}, {''.join(node.key)}"
    found = model.templates.l_node_types.get(node.ln_type)
    if found is None:
        yield Problem(node.line, E, "no-such-type", f"{where}: no LNodeType {node.ln_type}")
    elif found[1] != node.key[1]:
        yield Problem(node.line, E, "wrong-class", f"{where}: LNodeType {node.ln_type} is of class {found[1]}")
    for data_set in node.data_sets.values():
        for member in data_set.members:
            why = _member(model, ied, member)
            if why:
                text = f"IED {ied.name}: data set {data_set.name} has a member {member.reference}: {why}"
                yield Problem(member.line, E, "no-such-member", text)
    for line, name, data_set_name in node.reports:
        if data_set_name and data_set_name not in node.data_sets:
            yield Problem(line, E, "no-such-data-set", f"{where}: {name} has no data set {data_set_name}")


def _member(model: Model, ied: Ied, member: Fcda) -> str | None:
    device = ied.devices.get(member.ld_inst)
    if device is None:
        return f"no logical device {member.ld_inst}"
    node = device.nodes.get((member.prefix, member.ln_class, member.ln_inst))
    if node is None:
        return f"no logical node {member.prefix}{member.ln_class}{member.ln_inst}"
    if not member.do_name or node.ln_type not in model.templates.l_node_types:
        # A missing type is a finding of its own.
        return None
    return model.templates.resolve(node.ln_type, member.do_name, member.da_name, member.fc)


def _control(model: Model, ied: Ied, node: LogicalNode, control: ControlBlock) -> Iterator[Problem]:
    where = f"IED {ied.name}: {control.kind} {control.name}"
    data_set = control.attributes.get("datSet")
    if data_set is None:
        yield Problem(control.line, W, "no-data-set", f"{where} has no data set: nothing is published")
    elif data_set not in node.data_sets:
        yield Problem(control.line, E, "no-such-data-set", f"{where} has no data set {data_set}")
    revision = control.attributes.get("confRev")
    if revision is None:
        yield Problem(control.line, W, "conf-rev", f"{where} has no confRev")
    elif number(revision, 10) <= 0:
        yield Problem(control.line, E, "conf-rev", f"{where} has confRev {revision}: not configured (IEC 61850-7-2)")
    if control.kind == "SampledValueControl":
        for name in ("smpRate", "nofASDU"):
            if number(control.attributes.get(name), 10) <= 0:
                yield Problem(control.line, E, "bad-sampling", f"{where}: {name} must be at least 1")
    for line, receiver in control.receivers:
        if receiver not in model.ieds:
            yield Problem(line, E, "no-such-receiver", f"{where} names receiver {receiver}, no IED of this file")


def _ext_ref(model: Model, ied: Ied, ref: ExtRef, known: dict[tuple[str | None, ...], str | None]) -> Iterator[Problem]:
    """``known``: answers so far; every agent of a feeder hears the same values."""
    name = ref.get("iedName")
    if not name:
        # An input that is not bound yet (IEC 61850-6 Ed. 2, later binding).
        return
    key = (ied.name if name == "@" else None, *map(ref.attributes.get, _SOURCE))
    if key not in known:
        known[key] = _dangling(model, ied, ref)
    why = known[key]
    if why:
        wanted = f"{name}{ref.get('ldInst')}/{ref.get('prefix')}{ref.get('lnClass')}{ref.get('lnInst')}"
        text = f"IED {ied.name}: ExtRef to {wanted}.{ref.get('doName')}: {why}"
        yield Problem(ref.line, E, "dangling-ext-ref", text)


_SOURCE = (
    "iedName", "ldInst", "prefix", "lnClass", "lnInst", "doName", "daName",
    "srcLDInst", "srcPrefix", "srcLNClass", "srcLNInst", "srcCBName",
)  # fmt: skip
"""What an ExtRef names of its source."""


def _dangling(model: Model, ied: Ied, ref: ExtRef) -> str | None:
    publisher = ied if ref.get("iedName") == "@" else model.ieds.get(ref.get("iedName"))
    if publisher is None:
        return "no such IED"
    if ref.get("ldInst"):
        device = publisher.devices.get(ref.get("ldInst"))
        if device is None:
            return "no such logical device"
        key = (ref.get("prefix"), ref.get("lnClass"), ref.get("lnInst"))
        node = device.nodes.get(("", "LLN0", "") if key[1] == "LLN0" else key)
        if node is None:
            return "no such logical node"
        if ref.get("doName") and node.ln_type in model.templates.l_node_types:
            why = model.templates.resolve(node.ln_type, ref.get("doName"), ref.get("daName"), "")
            if why:
                return why
    if not ref.get("srcCBName"):
        return None
    return _not_published(publisher, ref)


def _not_published(publisher: Ied, ref: ExtRef) -> str | None:
    """Why the control block that the ExtRef names does not bring the value."""
    source = publisher.devices.get(ref.get("srcLDInst") or ref.get("ldInst"))
    name = ref.get("srcCBName")
    ln_class = ref.get("srcLNClass") or "LLN0"
    inst = "" if ln_class == "LLN0" else ref.get("srcLNInst")
    holder = source.nodes.get((ref.get("srcPrefix"), ln_class, inst)) if source else None
    if holder is None:
        return f"no logical node that could hold its control block {name}"
    if any(report == name for _, report, _ in holder.reports):
        return None
    control = next((control for control in holder.controls if control.name == name), None)
    if control is None:
        return f"no control block {name}"
    data_set = holder.data_sets.get(control.attributes.get("datSet", ""))
    if data_set is None:
        return f"control block {name} has no data set"
    place = tuple(ref.get(key) for key in ("ldInst", "prefix", "lnClass", "lnInst", "doName", "daName"))
    if place in data_set.places or not ref.get("doName"):
        return None
    if not any(carries(member, ref) for member in data_set.members):
        return f"the data set {data_set.name} of {name} does not contain it"
    return None
