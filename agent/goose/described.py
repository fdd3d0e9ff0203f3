"""A GOOSE stream as the SCD describes it: from a control block and the data set that the scheme wants in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent.goose.dataset import DataSet
from agent.goose.stream import Stream

if TYPE_CHECKING:
    from scl.scheme import GooseControl


def misfits(control: GooseControl, data_set: DataSet[Any], routed: bool) -> list[str]:
    """What keeps the control block from being used, a sentence each."""
    wrong = []
    if control.members != data_set.references:
        wrong.append(f"{control.cb_ref}: its data set is not {data_set.name} of this scheme")
    if routed and not control.ip:
        wrong.append(f"{control.cb_ref}: no multicast group (IP) for R-GOOSE")
    if not routed and not control.mac:
        wrong.append(f"{control.cb_ref}: no MAC address")
    return wrong


def stream_of(control: GooseControl, data_set: DataSet[Any], routed: bool, port: int) -> Stream:
    """On the station bus, or as R-GOOSE at this UDP port."""
    return Stream(
        gocb_ref=control.cb_ref,
        dat_set=control.dat_set,
        go_id=control.go_id,
        appid=control.appid,
        conf_rev=control.conf_rev,
        b_types=data_set.b_types,
        mac=control.mac,
        vlan=(control.vlan_id, control.vlan_priority),
        min_ms=control.min_time_ms,
        max_ms=control.max_time_ms,
        group=(control.ip or "") if routed else "",
        port=port,
    )
