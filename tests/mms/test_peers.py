"""The served model seen by clients that we did not write, each in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.logic.messages import Direction, Level, Measurement, Position
from agent.mms.meters import Meters
from agent.mms.model import StreamState
from agent.mms.tree import Tree, leaves
from tests.mms.lab import START_US, STATE, Lab

pytestmark = pytest.mark.peer


@pytest.fixture
def lab(tree: Tree) -> Iterator[Lab]:
    lab = Lab(tree)
    yield lab
    lab.close()


def test_a_client_finds_what_the_scd_says_and_gets_a_buffered_report(lab: Lab, scd: bytes, tmp_path: Path) -> None:
    path = tmp_path / "small.scd"
    path.write_bytes(scd)
    lab.start("peer_open61850.py", str(path), "F_AG")
    assert lab.said() == {"differences": []}
    assert lab.said() == {
        "enabled": True,
        "refused": ["LLN0$GO$gcbFlisr$GoEna", "PTOC1$SG$StrVal$setMag$f", "LLN0$SP$SGCB$EditSG"],
    }
    all_of_it = lab.said(lambda answer: "entries" in answer)
    assert "XCBR1$ST$Pos" in all_of_it["entries"]
    assert "flsGGIO2$ST$LokA" in all_of_it["entries"]
    opened = STATE._replace(breaker=STATE.breaker._replace(position=Position.OPEN, operations=8))
    lab.show(opened, START_US + 1_000_000)
    news = lab.said(lambda answer: "XCBR1$ST$OpCnt" in answer.get("entries", {}) and len(answer["entries"]) < 10)
    assert {"XCBR1$ST$Pos", "CSWI1$ST$Pos", "XCBR1$ST$OpCnt", "CILO1$ST$EnaCls"} <= set(news["entries"])
    assert "data_change=True" in news["reasons"]["XCBR1$ST$Pos"]
    assert news["entry_id"]


def test_a_fault_that_came_and_went_between_two_looks_is_reported_with_both_times(
    lab: Lab, scd: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "small.scd"
    path.write_bytes(scd)
    lab.start("peer_open61850.py", str(path), "F_AG")
    lab.said(lambda answer: answer.get("enabled") is True)
    lab.said(lambda answer: "entries" in answer)
    episode = Measurement(
        Level.QUIET, Direction.NONE, START_US + 500_000, START_US + 560_000, pickup_us=START_US + 504_000
    )
    meters = Meters(phase_started=True, phase_picked=True)
    tripped = STATE._replace(measurement=episode, meters=meters, trip_us=START_US + 506_000)
    lab.show(tripped, START_US + 600_000)
    came = lab.said(lambda answer: "PTOC1$ST$Op" in answer.get("entries", {}) and len(answer["entries"]) < 10)
    assert {"PTRC1$ST$Str", "PTRC1$ST$Tr"} <= set(came["entries"])
    assert "PTOC2$ST$Op" not in came["entries"]
    went = lab.said(lambda answer: "PTOC1$ST$Op" in answer.get("entries", {}))
    assert came["entries"]["PTOC1$ST$Op"] != went["entries"]["PTOC1$ST$Op"]
    assert "True" in came["entries"]["PTOC1$ST$Op"]
    assert "True" not in went["entries"]["PTOC1$ST$Op"]


def test_another_client_reads_supervision_and_metering(tree: Tree) -> None:
    """SBO model, LGOS of the breaker's stream, currents against the voltage of phase A, setting group values."""
    breaker = "F_BRCTRL/LLN0$GO$gcbPos"
    state = STATE._replace(
        streams={breaker: StreamState(True, False, False, 42, 1)},
        meters=Meters(
            ((0.0, 200.0), (173.2, -100.0), (-173.2, -100.0), (0.0, 0.0)),
            ((0.0, 5774.0), (5000.0, -2887.0), (-5000.0, -2887.0), (0.0, 0.0)),
            50.01,
        ),
    )
    lab = Lab(tree, state)
    try:
        wanted = (
            "LGOS2.St.stVal:ST", "LGOS2.LastStNum.stVal:ST", "LGOS2.GoCBRef.setSrcRef:SP", "LGOS1.St.stVal:ST",
            "MMXU1.A.phsA.cVal.mag.f:MX", "MMXU1.A.phsA.cVal.ang.f:MX", "MMXU1.A.phsB.cVal.ang.f:MX",
            "MSQI1.SeqA.c1.cVal.mag.f:MX", "MSQI1.SeqA.c2.cVal.mag.f:MX", "MMXU1.Hz.mag.f:MX",
            "PTOC1.StrVal.setMag.f:SG", "CSWI1.Pos.ctlModel:CF", "LPHD1.Sim.stVal:ST", "LSVS1.St.stVal:ST",
        )  # fmt: skip
        lab.start("peer_iec61850.py", *(f"F_AGFLISR/{entry}" for entry in wanted))
        said = lab.said()
    finally:
        lab.close()
    (device,) = tree.devices
    expected = {f"{node.name}${fc}${path.replace('.', '$')}" for node in device.nodes for path, fc, _ in leaves(node)}
    assert expected <= set(said["names"])
    values = said["values"]
    assert values["LGOS2.St.stVal"] == "True"
    assert values["LGOS2.LastStNum.stVal"] == "42"
    assert values["LGOS2.GoCBRef.setSrcRef"] == "'F_BRCTRL/LLN0.gcbPos'"
    assert values["LGOS1.St.stVal"] == "False"
    assert float(values["MMXU1.A.phsA.cVal.mag.f"].strip("[]")) == 200.0
    assert abs(float(values["MMXU1.A.phsA.cVal.ang.f"].strip("[]"))) < 0.01
    assert float(values["MMXU1.A.phsB.cVal.ang.f"].strip("[]")) == pytest.approx(-120.0, abs=0.1)
    assert float(values["MSQI1.SeqA.c1.cVal.mag.f"].strip("[]")) == pytest.approx(200.0, abs=0.1)
    assert float(values["MSQI1.SeqA.c2.cVal.mag.f"].strip("[]")) == pytest.approx(0.0, abs=0.1)
    assert float(values["MMXU1.Hz.mag.f"].strip("[]")) == pytest.approx(50.01, abs=0.001)
    assert float(values["PTOC1.StrVal.setMag.f"].strip("[]")) == 480.0
    assert (values["CSWI1.Pos.ctlModel"], values["LPHD1.Sim.stVal"], values["LSVS1.St.stVal"]) == ("4", "False", "True")
