"""What `worker doctor` finds of the database's upkeep: whether it is done, and whether it keeps pace."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from worker.adapters.postgres.upkeep_facts import DEFAULT_ROWS_MAX, UpkeepFacts
from worker.cli.doctor_findings import Finding, Level
from worker.cli.moments import span_text
from worker.core.retention import retention_of
from worker.settings import Settings

CHECK: Final = "upkeep"
DAYS_LATE_MAX: Final = 2
IDLE_SECONDS_MAX: Final = 3_600.0
SWEEP_SECONDS_MAX: Final = 86_400.0

_LOG: Final = "see `upkeep_failed` and `journal_days_kept` in the workers' logs"

_Rule = tuple[Level, Callable[[UpkeepFacts, Settings], bool], str, str]


def _sweeps(settings: Settings) -> bool:
    return not retention_of(settings.instance_retention).keeps_all


_RULES: Final[Sequence[_Rule]] = (
    (
        Level.NOTE,
        lambda facts, _: facts.idle_seconds is None,
        "it was never done: no worker has run",
        "start a worker: the first thing that it does is to make the journal's days",
    ),
    (
        Level.WARNING,
        lambda facts, _: (facts.idle_seconds or 0.0) > IDLE_SECONDS_MAX,
        "it has not been done for more than an hour",
        f"start a worker; if one runs, {_LOG}",
    ),
    (
        Level.WARNING,
        lambda facts, _: facts.idle_seconds is not None and len(facts.days_missing) > 0,
        "the journal has no partition for today, or tomorrow: rows go to its default partition",
        _LOG,
    ),
    (
        Level.WARNING,
        lambda facts, settings: (facts.oldest_days or 0) > settings.journal_days + DAYS_LATE_MAX,
        "days of the journal are there past WORKER_JOURNAL_DAYS",
        f"{_LOG}; rows that are not published keep their day",
    ),
    (
        Level.NOTE,
        lambda facts, _: 0 < facts.default_rows < DEFAULT_ROWS_MAX,
        "the journal's default partition has rows",
        "nothing: they move when their day's partition is made, or go by age",
    ),
    (
        Level.WARNING,
        lambda facts, _: facts.default_rows >= DEFAULT_ROWS_MAX,
        "the journal's default partition has more rows than are moved at once: they stay until they go by age",
        _LOG,
    ),
    (
        Level.WARNING,
        lambda facts, settings: _sweeps(settings) and (facts.sweep_seconds or 0.0) > SWEEP_SECONDS_MAX,
        "it has not come through all instances for more than a day: more end than go, or no worker does it",
        f"{_LOG}, and how many seconds `upkeep` takes",
    ),
)


def of_upkeep(facts: UpkeepFacts, settings: Settings) -> Iterator[Finding]:
    """Judge the upkeep."""
    found = [Finding(level, CHECK, text, remedy) for level, holds, text, remedy in _RULES if holds(facts, settings)]
    if facts.idle_seconds is not None:
        yield Finding(Level.OK, CHECK, f"a worker did it {span_text(round(1000 * facts.idle_seconds))} ago")
    yield from found
