"""Names for what is on the wire: control blocks of an SCL file by the references that frames carry."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scl.modelling import model_of
from scl.read import parse
from scl.scheme import GooseControl, SvControl
from scl.wire import controls


@dataclass(frozen=True, slots=True)
class Names:
    """GOOSE control blocks by gocbRef, Sampled Values control blocks by svID."""

    goose: dict[str, GooseControl]
    samples: dict[str, SvControl]

    def members(self, gocb_ref: str, count: int) -> tuple[str, ...]:
        """Names of a data set's members; numbers where the file does not know it, or knows another length."""
        control = self.goose.get(gocb_ref)
        if control is None or len(control.members) != count:
            return tuple(str(number) for number in range(1, count + 1))
        return control.members


NOTHING = Names({}, {})


def read_names(path: str | Path) -> Names:
    """From an SCD, CID or ICD file, valid or not; SclError if it is no SCL file."""
    goose, samples = controls(model_of(parse(path)))
    return Names(
        {control.cb_ref: control for control in goose.values()},
        {control.sv_id: control for control in samples.values()},
    )
