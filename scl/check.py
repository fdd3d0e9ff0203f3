"""``flisr scl check``: the schema, then what no schema can see, every finding with line, severity, code and reason."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scl.check_ieds import check_ieds
from scl.check_primary import check_primary, check_scheme
from scl.check_wire import check_wire
from scl.model import Model
from scl.modelling import model_of
from scl.primary_graph import Graph, graph_of
from scl.problem import Problem, SclError, has_errors
from scl.read import parse
from scl.schema import schema_problems
from scl.settings import check_settings


@dataclass(frozen=True, slots=True)
class Findings:
    """What is wrong with a file; ``edition`` is empty if it could not be read."""

    file: str
    edition: str
    problems: tuple[Problem, ...]

    @property
    def valid(self) -> bool:
        """No finding is an error."""
        return not has_errors(self.problems)


def check_file(path: str | Path) -> Findings:
    """Everything that is wrong with a file; never raises for what is in it."""
    try:
        root = parse(path)
    except SclError as error:
        return Findings(str(path), "", error.problems)
    model = model_of(root)
    problems = schema_problems(root, model) + check_model(model, graph_of(model))
    return Findings(str(path), model.edition_name, tuple(sorted(problems)))


def check_model(model: Model, graph: Graph) -> list[Problem]:
    """The semantic checks alone, in line order."""
    return sorted({*check_ieds(model), *check_wire(model), *check_primary(model, graph), *check_settings(model)})


def refuse(path: str | Path) -> tuple[Model, Graph]:
    """The model of a file that a scheme can run on; SclError with the whole list of findings otherwise."""
    root = parse(path)
    model = model_of(root)
    graph = graph_of(model)
    problems = {*schema_problems(root, model), *check_model(model, graph), *check_scheme(model, graph)}
    if has_errors(problems):
        raise SclError(path, sorted(problems))
    return model, graph
