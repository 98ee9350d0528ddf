"""`worker dead-letters redrive` and `discard`: back to where they came from, each exactly once, or nowhere."""

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

import typer

from worker.adapters.kafka.dead_letters import DeadLetterTopic
from worker.adapters.kafka.redriving import Done, Journal, Redrive, RedrivePlan
from worker.adapters.kafka.rights import Needs, require_rights
from worker.adapters.postgres.journal_records import JournalRecords
from worker.adapters.postgres.session import DatabaseConfig
from worker.cli.dead_letters import Filters, checked_config, summary_of
from worker.cli.loading import settings_without
from worker.core.dead_letters import DeadLetter, read_record
from worker.core.errors import SetupError
from worker.core.json import dumps
from worker.core.records import Output
from worker.core.redrives import Survey, find_original
from worker.core.routing import Topics
from worker.logs import configure_logs
from worker.settings import Settings, load_settings
from worker.terminal.colours import is_terminal
from worker.terminal.faults import FAILED, fail
from worker.terminal.lines import counts_text
from worker.terminal.signals import sigterm_interrupts
from worker.terminal.texts import counted, harmless

_PROGRESS_SECONDS: Final = 5.0
_TERMINAL_PROGRESS_SECONDS: Final = 0.1
_CLEAR_LINE: Final = "\r\x1b[K"


@dataclass(frozen=True, slots=True)
class Going:
    """Say how a redrive is gone about; one that discards sends nothing anywhere."""

    limit: int | None
    dry_run: bool
    yes: bool
    as_json: bool
    discards: bool = False

    @property
    def words(self) -> "Words":
        """Give what to call it."""
        return DISCARDING if self.discards else REDRIVING


@dataclass(frozen=True, slots=True)
class Words:
    """What a redrive is called, and what it makes of a dead letter."""

    verb: str
    done: str


REDRIVING: Final = Words("Redrive", "redriven")
DISCARDING: Final = Words("Discard", "discarded")


def redrive_dead_letters(filters: Filters, going: Going) -> None:
    """Redrive what the filters let through; end with 1 if something of it could not be.

    Raises: SetupError, KafkaUnavailable, RedriveFenced, RedriveUnknown, DatabaseUnavailable, DatabaseRefused.
    """
    configure_logs("error", "console")
    if going.discards and filters == Filters():
        raise SetupError("say which: places, or an option that lets some through; --matching '' lets all through")
    settings = settings_without("database_url") if going.discards else load_settings().settings
    plan = _plan(settings, filters, going)
    if going.dry_run:
        _show(plan, going)
        return
    if not going.yes:
        plan = _confirmed(plan, going.words)
    done = _redriven(settings, plan, going)
    if done.left:
        sys.exit(FAILED)


def _plan(settings: Settings, filters: Filters, going: Going) -> RedrivePlan:
    selection, topic = filters.selection(), Topics(settings.topic_prefix).dead_letters
    config = checked_config(settings)
    plan = RedrivePlan(config, topic, settings.group_id, selection, going.limit, going.discards)
    require_rights(config, Needs(reads=[topic], writes=[topic], named=[plan.transactional_id]))
    return plan


def _show(plan: RedrivePlan, going: Going) -> None:
    """Print a line for each that would be redriven."""
    with plan.reader() as reader:
        survey = plan.survey(reader, reader.stable_extent())
        for letter in _pending(reader, survey):
            if going.as_json:
                sys.stdout.write(f"{dumps(summary_of(letter)).decode()}\n")
            else:
                to = "" if going.discards else f"  → {letter.original.topic}"
                line = f"{letter.place}  {letter.reason}  {letter.source}{to}"
                sys.stdout.write(f"{harmless(line)}\n")
    sys.stdout.flush()
    done = Done(len(survey), survey.marked, foreign=survey.foreign)
    sys.stderr.write(f"{counted(len(survey), 'dead letter')} would be {going.words.done}\n{_notes(done, going.words)}")


def _pending(reader: DeadLetterTopic, survey: Survey) -> Iterator[DeadLetter]:
    for record in reader.read(*survey.spans()):
        if record.offset in survey.pending[record.partition]:
            letter = read_record(record)
            assert isinstance(letter, DeadLetter)
            yield letter


def _confirmed(plan: RedrivePlan, words: Words) -> RedrivePlan:
    """Ask, and give a plan of what was asked about: not of what comes in meanwhile. Raises: SetupError."""
    if not sys.stdin.isatty():
        raise SetupError(f"there is nobody to ask: say --yes, or look first with --dry-run. Nothing was {words.done}")
    with plan.reader() as reader:
        extent = reader.stable_extent()
        survey = plan.survey(reader, extent)
    question = f"{words.verb} {counted(len(survey), 'dead letter')} of {plan.topic}?"
    if len(survey) and not typer.confirm(question, err=True):
        fail(f"nothing was {words.done}")
    return replace(plan, selection=replace(plan.selection, below=extent.ends))


def _redriven(settings: Settings, plan: RedrivePlan, going: Going) -> Done:
    url = settings.database_url.get_secret_value()
    records = JournalRecords(DatabaseConfig(url), Topics(settings.topic_prefix).input, plan.transactional_id)
    progress = _Progress(going.words.done)
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
            _tell(redrive.done, going)
    return redrive.done


def _journal(records: JournalRecords) -> Journal:
    def find(letter: DeadLetter) -> Output | None:
        place = letter.origin or letter.cause
        return None if place is None else find_original(letter, records.kept(place.partition, place.offset))

    return find


def _tell(done: Done, going: Going) -> None:
    """Print what was done."""
    if going.as_json:
        sys.stdout.write(f"{dumps(_document(done, going.words)).decode()}\n")
    else:
        where = f": {counts_text(done.topics)}" if done.topics else ""
        sys.stdout.write(f"{counted(done.redriven, 'dead letter')} {going.words.done}{where}\n")
    sys.stdout.flush()
    sys.stderr.write(_notes(done, going.words))


def _document(done: Done, words: Words) -> dict[str, object]:
    skipped = [{"why": why, "count": count, "first": str(first)} for why, (count, first) in done.skipped.items()]
    return {
        words.done: done.redriven,
        "topics": dict(done.topics),
        "redriven_before": done.marked,
        "other_groups": dict(done.foreign),
        "skipped": skipped,
    }


def _notes(done: Done, words: Words) -> str:
    return "".join(f"{harmless(line)}\n" for line in _noted(done, words))


def _noted(done: Done, words: Words) -> Iterator[str]:
    if done.marked:
        yield f"{done.marked} redriven or discarded before"
    for group, count in done.foreign.items():
        to_do = f"{words.verb.lower()} them with WORKER_GROUP_ID={group}"
        yield f"not {words.done}: {count} of the consumer group {group}: {to_do}"
    for why, (count, first) in done.skipped.items():
        more = f" and {count - 1} more" if count > 1 else ""
        yield f"not {words.done}: {first}{more}: {why}"


@dataclass(slots=True)
class _Progress:
    """Show how far a redrive is: in place on a terminal, else by a line now and then."""

    _word: str
    _last: float = field(default_factory=time.monotonic)
    _on_terminal: bool = field(default_factory=lambda: is_terminal(sys.stderr))

    def show(self, done: Done) -> None:
        """Show it, if the time has come."""
        now = time.monotonic()
        if now - self._last < (_TERMINAL_PROGRESS_SECONDS if self._on_terminal else _PROGRESS_SECONDS):
            return
        self._last = now
        begin, end = (_CLEAR_LINE, "") if self._on_terminal else ("", "\n")
        sys.stderr.write(f"{begin}{done.redriven} of {done.total} {self._word}{end}")
        sys.stderr.flush()

    def clear(self) -> None:
        """Take it away again."""
        if self._on_terminal:
            sys.stderr.write(_CLEAR_LINE)
            sys.stderr.flush()
