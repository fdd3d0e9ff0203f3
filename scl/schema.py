"""Validation with the XML schema of IEC 61850-6, release 2007B4, as the package ``scl_loader`` ships it.

The schema is found without importing that package. A file of a neighbouring release (2007B1 to 2007B3) is held against
2007B4 as well, its findings are warnings; a file of 2003 is not: its schema is another.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from lxml import etree

from scl.model import Model, line_of
from scl.problem import Problem, Severity

EDITION = "2007B4"
FINDINGS_MAX = 200
_NAME_SPACE = re.compile(r"\{https?://[^}]*\}")


def schema_path() -> Path | None:
    """The file SCL.xsd of the installed package; None if it is not installed."""
    spec = importlib.util.find_spec("scl_loader")
    for folder in (spec.submodule_search_locations or []) if spec is not None else []:
        path = Path(folder) / "resources" / "SCL_Schema" / "SCL.xsd"
        if path.is_file():
            return path
    return None


def schema_edition(path: Path) -> str:
    """The release that the schema says it is, ``2007B4``."""
    match = re.search(rb'<xs:schema[^>]*\bversion="([^"]+)"', path.read_bytes()[:2000], re.DOTALL)
    return match[1].decode() if match else "unknown"


def schema_problems(root: etree._Element, model: Model) -> list[Problem]:
    """Everything the schema finds, in line order; a message instead if there is no schema for this edition."""
    path = schema_path()
    if path is None:
        text = "not validated with the XML schema: the package scl_loader, which ships it, is not installed"
        return [Problem(1, Severity.WARNING, "no-schema", text)]
    edition = schema_edition(path)
    if edition != EDITION:
        text = f"not validated with the XML schema: the installed one is of edition {edition}, not {EDITION}"
        return [Problem(1, Severity.WARNING, "no-schema", text)]
    if model.edition_name == EDITION:
        return _validated(root, path, Severity.ERROR, "")
    said = f"the file is of edition {model.edition_name}, the schema of {EDITION}"
    if model.edition[:2] != ("2007", "B"):
        return [Problem(1, Severity.WARNING, "edition", f"not validated with the XML schema: {said}")]
    copy = etree.fromstring(etree.tostring(root), etree.XMLParser(resolve_entities=False, no_network=True))
    # Line numbers survive because nothing is reformatted above the root's first child.
    copy.set("release", "4")
    found = _validated(copy, path, Severity.WARNING, f" (by the schema of {EDITION})", line_of(root))
    return [Problem(1, Severity.WARNING, "edition", f"{said}; what it finds is given as a warning"), *found]


def _validated(root: etree._Element, path: Path, severity: Severity, remark: str, first: int = 1) -> list[Problem]:
    # Our own schema file: trusted, local, includes its neighbours.
    schema = etree.XMLSchema(etree.parse(str(path), etree.XMLParser(no_network=True)))
    if schema.validate(root):
        return []
    shift = first - line_of(root) if remark else 0
    found: dict[Problem, None] = {}
    for entry in list(schema.error_log):  # type: ignore[call-overload]  # the stubs forget that it is iterable
        if "No precomputed value available" in entry.message:
            # libxml2's own trouble after a finding that is already listed.
            continue
        message = _NAME_SPACE.sub("", str(entry.message)) + remark
        found[Problem(entry.line + shift, severity, "schema", message)] = None
    problems = sorted(found)
    if len(problems) > FINDINGS_MAX:
        text = f"{len(problems) - FINDINGS_MAX} more findings of the XML schema are not listed"
        problems = [*problems[:FINDINGS_MAX], Problem(problems[FINDINGS_MAX].line, severity, "schema", text)]
    return problems
