"""Find the vector files, run what is known of them, and sum up."""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.vectors import (
    broker_vectors,
    contract_vectors,
    e2e_vectors,
    event_vectors,
    otel_vectors,
    scenario_vectors,
    setup_vectors,
    subject_vectors,
)
from tests.vectors.cases import Case
from tests.vectors.skipped import SKIPPED, SKIPPED_FILES

COPY = Path(__file__).parent / "data"

FORMATS: dict[str, Callable[[dict[str, Any]], Iterator[Case]]] = {
    "arvo-orchestration-subject/1": subject_vectors.cases,
    "arvo-event/1": event_vectors.cases,
    "arvo-contract/1": contract_vectors.cases,
    "arvo-orchestrator-scenario/1": scenario_vectors.cases,
    "arvo-broker-trace/1": e2e_vectors.cases,
    "arvo-setup/1": setup_vectors.cases,
    "arvo-broker-facts/1": broker_vectors.cases,
    "arvo-otel/1": otel_vectors.cases,
}


@dataclass(slots=True)
class Summary:
    """What a run came to.

    `skipped` has place and reason, then title; `not_built` counts the files of formats that are not run yet.
    """

    passed: int = 0
    failed: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)
    not_built: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {len(self.skipped)} skipped"


def vectors_folder() -> Path:
    """Give the folder that `VECTORS_DIR` names, else the copy beside this file."""
    return Path(os.environ.get("VECTORS_DIR") or COPY)


def cases_of(path: Path) -> list[Case] | None:
    """Give the cases of a file; None if nothing runs its format yet."""
    document = _read(path)
    known = FORMATS.get(document["format"])
    return None if known is None else list(known(document))


def reason_to_skip(path: Path, case: Case) -> str | None:
    """Give the reason why a case is not run; None if it is."""
    return SKIPPED_FILES.get(path.name) or SKIPPED.get((path.name, case.section, case.title))


def run(folder: Path) -> Summary:
    """Run every file of the folder, printing each failure as it comes."""
    summary = Summary()
    for path in sorted(folder.glob("*.json")):
        cases = cases_of(path)
        if cases is None:
            summary.not_built[_read(path)["format"]] += 1
            continue
        for case in cases:
            _run_case(path, case, summary)
    return summary


def _run_case(path: Path, case: Case, summary: Summary) -> None:
    reason = reason_to_skip(path, case)
    if reason is not None:
        summary.skipped.append((f"{path.name} [{case.section}]: {reason}", case.title))
        return
    try:
        case.check()
    except Exception as error:  # noqa: BLE001 - a case may fail with anything, and the run goes on
        summary.failed += 1
        print(f"FAILED {path.name} [{case.section}] {case.title}\n    {type(error).__name__}: {error}")
    else:
        summary.passed += 1


def _read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document
