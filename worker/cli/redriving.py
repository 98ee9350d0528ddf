"""`worker dead-letters redrive`: back to where they came from, each exactly once."""

import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import typer

from worker.adapters.kafka.dead_letters import DeadLetterTopic
from worker.adapters.kafka.redriving import Done, Journal, Redrive, RedrivePlan
from worker.adapters.postgres.journal_records import JournalRecords
from worker.adapters.postgres.session import DatabaseConfig
from worker.cli.dead_letters import Filters, checked_config, summary_of
from worker.core.dead_letters import DeadLetter, read_record
from worker.core.errors import SetupError
from worker.core.json import dumps
from worker.core.records import Output
from worker.core.redrives import Survey, find_original
from worker.core.routing import Topics
from worker.logs import configure_logs
from worker.settings import Settings, load_settings
from worker.terminal.faults import FAILED, fail
from worker.terminal.lines import counts_text
from worker.terminal.signals import sigterm_interrupts
from worker.terminal.texts import counted, harmless

_PROGRESS_SECONDS: Final = 5.0
_TERMINAL_PROGRESS_SECONDS: Final = 0.1
_CLEAR_LINE: Final = "\r\x1b[K"


@dataclass(frozen=True, slots=True)
class Going:
    """Say how a redrive is gone about."""

    limit: int | None
    dry_run: bool
    yes: bool
    as_json: bool


def redrive_dead_letters(filters: Filters, going: Going) -> None:
    """Redrive what the filters let through; end with 1 if something of it could not be.

    Raises: SetupError, KafkaUnavailable, RedriveFenced, RedriveUnknown, DatabaseUnavailable, DatabaseRefused.
    """
    configure_logs("error", "console")
    settings = load_settings().settings
    plan = _plan(settings, filters, going)
    if going.dry_run:
        _show(plan, as_json=going.as_json)
        return
    if not going.yes:
        plan = _confirmed(plan)
    done = _redriven(settings, plan, as_json=going.as_json)
    if done.left:
        sys.exit(FAILED)


def _plan(settings: Settings, filters: Filters, going: Going) -> RedrivePlan:
    selection, topic = filters.selection(), Topics(settings.topic_prefix).dead_letters
    return RedrivePlan(checked_config(settings), topic, settings.group_id, selection, going.limit)


def _show(plan: RedrivePlan, *, as_json: bool) -> None:
    """Print a line for each that would be redriven."""
    with plan.reader() as reader:
        survey = plan.survey(reader, reader.stable_extent())
        for letter in _pending(reader, survey):
            if as_json:
                sys.stdout.write(f"{dumps(summary_of(letter, is_redriven=False)).decode()}\n")
            else:
                line = f"{letter.place}  {letter.reason}  {letter.source}  → {letter.original.topic}"
                sys.stdout.write(f"{harmless(line)}\n")
    sys.stdout.flush()
    done = Done(len(survey), survey.marked, foreign=survey.foreign)
    sys.stderr.write(f"{counted(len(survey), 'dead letter')} would be redriven\n{_notes(done)}")


def _pending(reader: DeadLetterTopic, survey: Survey) -> Iterator[DeadLetter]:
    for record in reader.read(*survey.spans()):
        if record.offset in survey.pending[record.partition]:
            letter = read_record(record)
            assert isinstance(letter, DeadLetter)
            yield letter


def _confirmed(plan: RedrivePlan) -> RedrivePlan:
    """Ask, and give a plan of what was asked about: not of what comes in meanwhile. Raises: SetupError."""
    if not sys.stdin.isatty():
        raise SetupError("there is nobody to ask: say --yes, or look first with --dry-run. Nothing was redriven")
    with plan.reader() as reader:
        extent = reader.stable_extent()
        survey = plan.survey(reader, extent)
    if len(survey) and not typer.confirm(f"Redrive {counted(len(survey), 'dead letter')} of {plan.topic}?", err=True):
        fail("nothing was redriven")
    return replace(plan, selection=replace(plan.selection, below=extent.ends))


def _redriven(settings: Settings, plan: RedrivePlan, *, as_json: bool) -> Done:
    url = settings.database_url.get_secret_value()
    records = JournalRecords(DatabaseConfig(url), Topics(settings.topic_prefix).input, plan.transactional_id)
    progress = _Progress()
    redrive = Redrive(plan, _journal(records), progress.show)
    is_over = False
    try:
        with sigterm_interrupts():
            redrive.run()
        is_over = True
    finally:
        records.close()
        progress.clear()
        # Whatever ended it, that much is done for good.
        if is_over or redrive.done.redriven:
            _tell(redrive.done, as_json=as_json)
    return redrive.done


def _journal(records: JournalRecords) -> Journal:
    def find(letter: DeadLetter) -> Output | None:
        place = letter.origin or letter.cause
        return None if place is None else find_original(letter, records.kept(place.partition, place.offset))

    return find


def _tell(done: Done, *, as_json: bool) -> None:
    """Print what was done."""
    if as_json:
        sys.stdout.write(f"{dumps(_document(done)).decode()}\n")
    else:
        where = f": {counts_text(done.topics)}" if done.topics else ""
        sys.stdout.write(f"{counted(done.redriven, 'dead letter')} redriven{where}\n")
    sys.stdout.flush()
    sys.stderr.write(_notes(done))


def _document(done: Done) -> dict[str, object]:
    skipped = [{"why": why, "count": count, "first": str(first)} for why, (count, first) in done.skipped.items()]
    return {
        "redriven": done.redriven,
        "topics": dict(done.topics),
        "redriven_before": done.marked,
        "other_groups": dict(done.foreign),
        "skipped": skipped,
    }


def _notes(done: Done) -> str:
    return "".join(f"{harmless(line)}\n" for line in _noted(done))


def _noted(done: Done) -> Iterator[str]:
    if done.marked:
        yield f"{done.marked} redriven before"
    yield from _of_groups(done.foreign)
    for why, (count, first) in done.skipped.items():
        more = f" and {count - 1} more" if count > 1 else ""
        yield f"not redriven: {first}{more}: {why}"


def _of_groups(foreign: Mapping[str, int]) -> Iterator[str]:
    for group, count in foreign.items():
        yield f"not redriven: {count} of the consumer group {group}: redrive them with WORKER_GROUP_ID={group}"


@dataclass(slots=True)
class _Progress:
    """Show how far a redrive is: in place on a terminal, else by a line now and then."""

    _last: float = field(default_factory=time.monotonic)
    _on_terminal: bool = field(default_factory=sys.stderr.isatty)

    def show(self, done: Done) -> None:
        """Show it, if the time has come."""
        now = time.monotonic()
        if now - self._last < (_TERMINAL_PROGRESS_SECONDS if self._on_terminal else _PROGRESS_SECONDS):
            return
        self._last = now
        begin, end = (_CLEAR_LINE, "") if self._on_terminal else ("", "\n")
        sys.stderr.write(f"{begin}{done.redriven} of {done.total} redriven{end}")
        sys.stderr.flush()

    def clear(self) -> None:
        """Take it away again."""
        if self._on_terminal:
            sys.stderr.write(_CLEAR_LINE)
            sys.stderr.flush()
