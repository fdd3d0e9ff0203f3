"""Setting groups, and substitution."""

from __future__ import annotations

from open61850.data import BoolData, FloatData
from open61850.mms.sgcb import confirm_edit_sg_values, read_sgcb, select_active_sg, select_edit_sg

from tests.conformance.asking import VARIABLE, name, refused
from tests.conformance.device import Device


def _values(device: Device, constraint: str) -> list[str]:
    with device.client() as client:
        listed = client.get_name_list(VARIABLE, device.domain)
    return [item for item in listed if item.split("$")[1:2] == [constraint] and item.endswith("$setMag$f")]


def reads_the_control_block(device: Device) -> None:
    with device.client() as client:
        block = read_sgcb(client, device.domain)
        assert block.num_of_sg == device.offered.groups
        assert 1 <= block.act_sg <= block.num_of_sg
        assert block.edit_sg == 0


def reads_settings(device: Device) -> None:
    """Values of the active group, above zero."""
    items = _values(device, "SG")
    assert items
    with device.client() as client:
        assert all(client.read(name(device, item)).value > 0 for item in items)


def changes_the_active_group(device: Device) -> None:
    """From the first to the last and back."""
    with device.client() as client:
        for group in (device.offered.groups, 1):
            select_active_sg(client, device.domain, group)
            device.until(lambda g=group: read_sgcb(client, device.domain).act_sg == g)


def edits_a_group(device: Device) -> None:
    """What is edited is not active before it is confirmed, and is after it."""
    (item, *_) = _values(device, "SE")
    active = item.replace("$SE$", "$SG$")
    with device.client() as client:
        before = client.read(name(device, active)).value
        group = read_sgcb(client, device.domain).act_sg
        for value in (before * 1.01, before):
            select_edit_sg(client, device.domain, group)
            shown = client.read(name(device, active)).value
            client.write(name(device, item), FloatData(value))
            assert client.read(name(device, active)).value == shown
            confirm_edit_sg_values(client, device.domain)
            device.until(lambda v=value: abs(client.read(name(device, active)).value - v) < 1e-3 * v)
        select_edit_sg(client, device.domain, 0)


def refuses_groups_that_are_not_there(device: Device) -> None:
    """None, one too many; an edit that was not begun cannot be confirmed; the active group stays."""
    with device.client() as client:
        before = read_sgcb(client, device.domain).act_sg
        for group in (0, device.offered.groups + 1, 255):
            assert refused(lambda g=group: select_active_sg(client, device.domain, g))[0] == "access"
        assert refused(lambda: select_edit_sg(client, device.domain, device.offered.groups + 1))[0] == "access"
        assert refused(lambda: confirm_edit_sg_values(client, device.domain))[0] == "access"
        assert read_sgcb(client, device.domain).act_sg == before


def refuses_to_write_the_active_values(device: Device) -> None:
    """FC SG; and FC SE before a group was chosen for editing."""
    with device.client() as client:
        for item in (*_values(device, "SG"), *_values(device, "SE")):
            assert refused(lambda i=item: client.write(name(device, i), FloatData(1.0)))[0] == "access"


def substitutes(device: Device) -> None:
    """A value that is put in place of the measured one is shown as substituted, and goes when that ends."""
    with device.client() as client:
        listed = client.get_name_list(VARIABLE, device.domain)
        item = next(entry for entry in listed if entry.endswith("$subEna"))
        client.write(name(device, item), BoolData(True))
        quality = client.read(name(device, item.replace("$SV$", "$ST$").replace("$subEna", "$q"))).value
        assert quality[1] & 0x20, "source: substituted"
        client.write(name(device, item), BoolData(False))
