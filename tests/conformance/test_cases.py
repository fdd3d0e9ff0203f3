"""Every case of the table against a whole agent; the document's verdicts are what comes out here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance import document
from tests.conformance.cases import Case, load
from tests.conformance.device import Device

pytestmark = pytest.mark.peer


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    with Device(tmp_path_factory.mktemp("device")) as made:
        yield made


@pytest.mark.parametrize("case", load(), ids=lambda case: f"{case.identifier or case.group}: {case.by}")
def test_case(device: Device, case: Case) -> None:
    """Where the SCL does not offer what it needs, the document says so, with the same reason."""
    missing = case.missing(device.offered)
    said = document.verdicts()[case.by, case.group]
    if missing:
        assert said == f"{document.NOT_APPLICABLE} ({missing})"
        return
    device.at_rest()
    case.procedure(device)
    assert said == document.PASSED
