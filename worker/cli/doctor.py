"""`worker doctor`: everything that a deployment needs, looked at from outside. It changes nothing."""

import sys
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Final, TypeVar

from worker.adapters.kafka.diagnosis import KafkaDiagnosis
from worker.adapters.kafka.topics import TopicAdmin
from worker.adapters.postgres.diagnosis import APPLICATION_NAME, diagnose
from worker.adapters.postgres.migrate import current_revision, left_to_run, require_current
from worker.adapters.postgres.upkeep_facts import look_at_upkeep
from worker.bootstrap import Deployment, deploy
from worker.cli.doctor_findings import (
    Finding,
    Level,
    of_cluster,
    of_database,
    of_group,
    of_hidden_rights,
    of_newest,
    of_topics,
    of_versions,
)
from worker.cli.doctor_upkeep import of_upkeep
from worker.cli.partitions import Scene, Sides, bound_text
from worker.core.checks import check_machine
from worker.core.errors import SetupError
from worker.core.json import dumps
from worker.logs import configure_logs
from worker.ports import DatabaseRefused, DatabaseUnavailable, KafkaUnavailable
from worker.runtime.taking import RefusalReason
from worker.settings import Settings, load_settings
from worker.terminal.colours import Colour, Tinted, colours_on
from worker.terminal.faults import FAILED, SETUP_FAULT
from worker.terminal.texts import counted, table

T = TypeVar("T")

STATUS: Final = {Level.OK: 0, Level.NOTE: 0, Level.WARNING: FAILED, Level.ERROR: SETUP_FAULT}
"""The exit status, by the worst finding."""

_COLOURS: Final = {
    Level.OK: Colour.GOOD,
    Level.NOTE: Colour.FAINT,
    Level.WARNING: Colour.DOUBTFUL,
    Level.ERROR: Colour.BAD,
}
_FAULTS: Final = (SetupError, KafkaUnavailable, DatabaseUnavailable, DatabaseRefused)
_REFUSED: Final = frozenset(reason.value for reason in RefusalReason)


def examine(*, as_json: bool) -> None:
    """Print what was found, and end with 0, 1 or 2 by the worst of it. Raises: SetupError, for wrong settings."""
    configure_logs("error", "console")
    findings = list(_findings(load_settings().settings))
    worst = max(finding.level for finding in findings)
    if as_json:
        document = {"worst": worst.name.lower(), "findings": [finding.document() for finding in findings]}
        sys.stdout.write(f"{dumps(document).decode()}\n")
    else:
        _print(findings)
    sys.exit(STATUS[worst])


def _findings(settings: Settings) -> Iterator[Finding]:
    deployment = yield from _attempt("machines", _machines(settings))
    if deployment is not None:
        database = yield from _attempt("database", _database(deployment))
        cluster = yield from _attempt("Kafka", _kafka(deployment))
        if database and cluster:
            yield from _attempt("partitions", _partitions(settings))


def _attempt(check: str, look: Generator[Finding, None, T]) -> Generator[Finding, None, T | None]:
    """Give what a look finds and comes to; what ends it is a finding too, whose text says what to do."""
    try:
        return (yield from look)
    except _FAULTS as error:
        yield Finding(Level.ERROR, check, str(error))
    return None


def _machines(settings: Settings) -> Generator[Finding, None, Deployment]:
    deployment = deploy(settings, Path.cwd())
    machines = deployment.registry.machines
    found = sum(len(list(check_machine(machine))) for machine in machines)
    if found:
        text = f"{counted(found, 'finding')} in {counted(len(machines), 'machine')}"
        yield Finding(Level.WARNING, "machines", text, "see `worker machines check`")
    else:
        yield Finding(Level.OK, "machines", counted(len(machines), "machine"))
    if settings.delivery == "at_least_once":
        yield Finding(Level.NOTE, "delivery", "at least once: outputs may appear twice, with equal ids")
    return deployment


def _database(deployment: Deployment) -> Generator[Finding, None, bool]:
    require_current(deployment.database.url)
    yield Finding(Level.OK, "schema", f"it is current: {current_revision(deployment.database.url)}")
    if left := left_to_run(deployment.database.url):
        text = f"{', '.join(left)} waits until no worker of the version before is running"
        yield Finding(Level.NOTE, "schema", text, "then run `worker migrate --after-rollout`")
    facts = diagnose(deployment.database)
    yield from of_database(facts, deployment.settings)
    yield from of_upkeep(look_at_upkeep(deployment.database, APPLICATION_NAME), deployment.settings)
    for source, version in facts.active_versions:
        if deployment.registry.hosts(source) and deployment.registry.resolve(source, version) is None:
            text = f"instances of {source} {version} run, and that version is not here"
            remedy = "deploy it beside the others, or their events become dead letters NO_MACHINE"
            yield Finding(Level.ERROR, "machines", text, remedy)
    return True


def _kafka(deployment: Deployment) -> Generator[Finding, None, bool]:
    settings, names = deployment.settings, deployment.topic_names()
    TopicAdmin(deployment.kafka).cluster_id()
    diagnosis = KafkaDiagnosis(deployment.kafka)
    yield from of_versions(diagnosis.versions(), settings)
    cluster, topics = diagnosis.cluster(), diagnosis.topics(names)
    yield from of_cluster(cluster, deployment.kafka)
    yield from of_topics(names, topics, settings, cluster.brokers)
    yield from of_hidden_rights(cluster, settings)
    source = topics.get(deployment.topics.input)
    if source is None:
        return False
    yield from of_group(settings.group_id, diagnosis.group(settings.group_id), source.partitions)
    newest = diagnosis.newest(source.name, source.partitions)
    yield from of_newest(source.name, newest, time.time_ns() // 1_000_000)
    return True


def _partitions(settings: Settings) -> Generator[Finding, None, None]:
    sides = Sides(settings)
    try:
        scene = sides.scene(stable=False)
    finally:
        sides.database.close()
    if scene.served not in (None, scene.ours):
        remedy = "correct the settings, or see `worker adopt --help`"
        yield Finding(Level.ERROR, "binding", bound_text(scene), remedy)
    found = list(_of_stands(scene))
    yield from found or [Finding(Level.OK, "partitions", _lag_text(scene))]


def _of_stands(scene: Scene) -> Iterator[Finding]:
    for number, stand in scene.stands.items():
        would, row = stand.would(scene.topic_id), stand.row
        if would in _REFUSED:
            remedy = "see `worker partitions list`, and `worker partitions begin --help`"
            yield Finding(Level.ERROR, f"partition {number}", f"workers refuse it: {would}", remedy)
        if row is not None and row.deaths > 0:
            text = f"{counted(row.deaths, 'owner')} died at offset {row.next_offset} without getting on"
            yield Finding(Level.WARNING, f"partition {number}", text, "the workers' last log lines say of what")


def _lag_text(scene: Scene) -> str:
    behind = sum(
        max(0, stand.end - (stand.row.next_offset if stand.row else stand.first or 0))
        for stand in scene.stands.values()
        if stand.end is not None
    )
    return f"{len(scene.stands)}, none refused; {counted(behind, 'record')} still to be run"


def _print(findings: list[Finding]) -> None:
    alike: dict[tuple[Level, str, str], list[str]] = {}
    for one in findings:
        alike.setdefault((one.level, one.text, one.remedy), []).append(one.check)
    rows: list[tuple[str, ...]] = []
    for (level, text, remedy), checks in alike.items():
        more = f" and {len(checks) - 1} more" if len(checks) > 1 else ""
        rows.append((Tinted(level.name.lower(), _COLOURS[level]), f"{checks[0]}{more}", text))
        if remedy:
            rows.append(("", "", f"→ {remedy}"))
    sys.stdout.write(f"{table(rows, colours=colours_on(sys.stdout))}\n")
    sys.stdout.flush()
    counts = {level: sum(one.level is level for one in findings) for level in (Level.ERROR, Level.WARNING, Level.NOTE)}
    sys.stderr.write(f"{', '.join(counted(count, level.name.lower()) for level, count in counts.items())}\n")
