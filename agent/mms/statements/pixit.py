"""Protocol implementation extra information for testing: limits, time-outs and behaviour, from the constants that the
code works with. Pure."""

from __future__ import annotations

from agent.mms import association, controls, porter, requests, server
from agent.mms.limits import Limits
from agent.mms.model import ADD_CAUSE
from agent.mms.roles import RIGHTS, Right
from agent.mms.statements.offered import Control, Offered
from agent.mms.statements.page import Page, Table, answer
from agent.mms.tree import DCHG, DUPD, GI, PERIOD, QCHG, Report

MODELS = ("status only", "direct, normal", "select, normal", "direct, enhanced", "select, enhanced")
TRIGGERS = ((DCHG, "data change"), (QCHG, "quality change"), (DUPD, "data update"), (PERIOD, "integrity"), (GI, "GI"))


def page(of: Offered) -> Page:
    """The statement."""
    return Page(
        "PIXIT: limits and behaviour",
        f"Of IED `{of.tree.ied}`. Figures are the constants of the code; options of `flisr agent run` change those of "
        "associations.",
        (_associations(), _rights(), _reports(of), _controls(of), _causes(), _goose(of), _settings(of)),
    )


def _associations() -> Table:
    limits = Limits()
    rows = (
        ("clients at a time", f"{limits.clients}", "`--mms-clients`"),
        ("clients of one address", f"{limits.of_address}", "`--mms-clients-of-address`"),
        ("idle", f"{limits.idle_s:g} s", "`--mms-idle`"),
        ("an association ends after", f"{limits.session_s:g} s", "`--mms-session`, over TLS"),
        ("TLS handshake", f"{porter.HANDSHAKE_S:g} s", f"{porter.ARRIVALS_MAX} at a time"),
        ("initiate request after the connection", f"{association.ASSOCIATE_S:g} s", "or the connection is ended"),
        ("a message begun", f"{association.MESSAGE_S:g} s", "to its last octet, or the association is ended"),
        ("longest message", f"{requests.MESSAGE_MAX} octets", "or the association is ended"),
        ("unread by a client", f"{association.WAITING_MAX} octets", "or the association is ended"),
        ("requests without an answer", f"{association.PENDING_MAX}", "writes, controls, files; or it is ended"),
        ("link lost", f"{porter.PATIENCE.lost_s} s", f"TCP user time-out; keep-alive after {porter.PATIENCE.idle_s} s"),
        ("transport, session, presentation selectors", "any", "not compared"),
        ("authentication", "certificate", "TLS; none on a plain listener; nothing in ACSE"),
        ("what is not understood", "the association is ended", "`mms_ended` with the reason"),
    )
    return Table("Associations", "", ("what", "value", "how"), rows)


def _rights() -> Table:
    rows = tuple(
        (role.name, ", ".join(right.value for right in Right if right in RIGHTS[role])) for role in sorted(RIGHTS)
    )
    return Table("Roles", "Without TLS everybody has every right.", ("role", "may"), rows)


def _reports(of: Offered) -> Table:
    rows = tuple(
        _report(f"{node.name}.{report.name}", report) for _, node in of.tree.nodes() for report in node.reports
    )
    headings = ("control block", "kind", "instances", "triggers as configured", "buffer time", "integrity period")
    return Table("Reports", "", headings, rows)


def _report(name: str, report: Report) -> tuple[str, ...]:
    triggers = ", ".join(word for bit, word in TRIGGERS if report.triggers & bit)
    kind = "buffered" if report.buffered else "unbuffered"
    instances = f"{len(report.names)}"
    return (f"`{name}`", kind, instances, triggers, f"{report.buffer_ms} ms", f"{report.integrity_ms} ms")


def _controls(of: Offered) -> Table:
    text = f"An order that the protection process has not answered after {controls.EXECUTION_LIMIT_S:g} s is over."
    headings = ("data object", "class", "model", "selection ends after", "operTm")
    return Table("Controls", text, headings, tuple(_control(control) for control in of.controls))


def _control(control: Control) -> tuple[str, ...]:
    ends = "" if control.select_s is None else f"{control.select_s:g} s"
    model = f"{control.model} {MODELS[control.model]}"
    return (f"`{control.reference}`", control.cdc, model, ends, answer(control.timed))


def _causes() -> Table:
    rows = tuple((refusal.name.lower().replace("_", " "), f"{int(cause)}") for refusal, cause in ADD_CAUSE.items())
    rows += tuple((why, f"{cause}") for why, cause in controls.AT_ONCE.items())
    return Table("Refusals of orders", "", ("refused because", "AddCause"), rows)


def _goose(of: Offered) -> Table:
    rows = tuple(
        (f"`{node.name}.{block.name}`", block.data_set, f"{block.conf_rev}", f"{block.min_ms} ms", f"{block.max_ms} ms")
        for _, node in of.tree.nodes()
        for block in node.goose
    )
    return Table("GOOSE", "", ("control block", "data set", "confRev", "shortest", "longest"), rows)


def _settings(of: Offered) -> Table:
    refused = ", ".join(server.SETTINGS)
    rows = (
        ("setting groups", f"{of.groups}"),
        ("functional constraints that no client writes", refused),
    )
    return Table("Settings", "", ("what", "value"), rows)
