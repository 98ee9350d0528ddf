"""`worker dead-letters list` and `show`: what could not be processed, why, and what to do. They change nothing."""

import heapq
import json
import re
import sys
import time
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from worker.adapters.kafka.clients import KafkaConfig
from worker.adapters.kafka.dead_letters import DeadLetterTopic, Extent
from worker.adapters.kafka.topics import TopicAdmin
from worker.cli.loading import settings_without
from worker.cli.moments import moment_text, read_moment
from worker.core.dead_letter_advice import ADVICE, UNKNOWN
from worker.core.dead_letters import DeadLetter, Marker, Place, Selection, read_place, read_record
from worker.core.errors import SetupError
from worker.core.events import event_to_json
from worker.core.json import dumps, loads
from worker.core.records import Headers
from worker.core.redrives import Offsets
from worker.core.routing import Topics
from worker.logs import configure_logs
from worker.ports import KafkaUnavailable
from worker.settings import Settings
from worker.terminal.lines import names_subject, short_subject
from worker.terminal.texts import counted, harmless, table

LIMIT: Final = 100
REDRIVEN: Final = "redriven"
DISCARDED: Final = "discarded"
MACHINE_PREFIX: Final = "arvo.orc."
_BECOME: Final = {(False, False): "no", (True, False): "yes", (False, True): "discarded"}
_HEADS: Final = ("PLACE", "FAILED AT", "REASON", "FROM", "INSTANCE", "WHAT")
_WHAT_CHARACTERS_MAX: Final = 60


@dataclass(frozen=True, slots=True)
class Filters:
    """What the options say of the dead letters that are wanted, as they were typed."""

    reasons: Sequence[str] = ()
    subject: str | None = None
    since: str | None = None
    until: str | None = None
    sources: Sequence[str] = ()
    places: Sequence[str] = ()
    machines: Sequence[str] = ()
    matching: str | None = None

    def selection(self) -> Selection:
        """Read them. Raises: SetupError."""
        now = time.time_ns() // 1_000_000
        subject = self.subject
        return Selection(
            reasons=frozenset(map(_reason, self.reasons)),
            names_subject=None if subject is None else lambda found: names_subject(subject, found),
            since=None if self.since is None else read_moment(self.since, "--since", now),
            until=None if self.until is None else read_moment(self.until, "--until", now),
            sources=frozenset(self.sources),
            places=frozenset(map(named_place, self.places)),
            machines=frozenset(named for one in self.machines for named in (one, f"{MACHINE_PREFIX}{one}")),
            matching=None if self.matching is None else _pattern(self.matching),
        )


def list_dead_letters(filters: Filters, limit: int, *, redriven_too: bool, as_json: bool) -> None:
    """Print the newest dead letters, oldest first. Raises: SetupError, KafkaUnavailable."""
    configure_logs("error", "console")
    selection = filters.selection()
    with reader_of(settings_without("database_url")) as reader:
        listing = _listing(reader, selection, limit, redriven_too=redriven_too)
    if as_json:
        sys.stdout.write("".join(f"{dumps(document).decode()}\n" for document in listing.documents))
        return
    if listing.documents:
        heads = (*_HEADS[:3], "REDRIVEN", *_HEADS[3:]) if redriven_too else _HEADS
        rows = [heads, *(_row(one, redriven_too) for one in listing.documents)]
        sys.stdout.write(f"{table(rows)}\n")
    sys.stdout.flush()
    sys.stderr.write(f"{_summary(listing)}\n")


def show_dead_letter(named: str, *, as_json: bool) -> None:
    """Print all that is known of one dead letter. Raises: SetupError, KafkaUnavailable."""
    configure_logs("error", "console")
    place = named_place(named)
    settings = settings_without("database_url")
    with reader_of(settings) as reader:
        letter, marker = _found(reader, place)
    if as_json:
        sys.stdout.write(f"{dumps(_whole(letter, marker)).decode()}\n")
        return
    sys.stdout.write("\n".join(harmless(line) for line in _told(letter, marker)) + "\n")


def reader_of(settings: Settings) -> DeadLetterTopic:
    """Connect a reader of the deployment's dead letters. Raises: SetupError, if they are not there."""
    config = checked_config(settings)
    return DeadLetterTopic(config, Topics(settings.topic_prefix).dead_letters, f"{settings.group_id}-dead-letters")


def checked_config(settings: Settings) -> KafkaConfig:
    """Say where the brokers are. Raises: SetupError, if none answers there, or none has dead letters."""
    config = KafkaConfig(settings.kafka_bootstrap_servers, settings.kafka_properties)
    topic = Topics(settings.topic_prefix).dead_letters
    try:
        missing = TopicAdmin(config).missing([topic])
    except KafkaUnavailable as error:
        raise SetupError(str(error)) from error
    if missing:
        raise SetupError(f"there is no topic {topic}: is WORKER_TOPIC_PREFIX right, and has a worker run?")
    return config


def named_place(text: str) -> Place:
    """Read a place as it was typed. Raises: SetupError."""
    place = read_place(text)
    if place is None:
        raise SetupError(f"expected a dead letter as PARTITION:OFFSET, 0:17 say, as the list shows it; got {text}")
    return place


def summary_of(letter: DeadLetter, become: str = "") -> dict[str, Any]:
    """Give what a list tells of a dead letter, as JSON; it may have become `redriven` or `discarded`."""
    event = letter.event()
    return {
        "place": str(letter.place),
        "failed_at": moment_text(letter.failed_at),
        "reason": letter.reason,
        "error_name": letter.error_name,
        "error_message": letter.error_message,
        "source": letter.source,
        "topic": letter.original.topic,
        "partition": letter.origin and letter.origin.partition,
        "offset": letter.origin and letter.origin.offset,
        "subject": letter.subject(),
        "type": event and event.type,
        "id": event and event.id,
        "group_id": letter.group_id,
        "redriven": become == REDRIVEN,
        "discarded": become == DISCARDED,
    }


@dataclass(frozen=True, slots=True)
class _Listing:
    """The newest of the wanted dead letters, oldest first, and how many there are."""

    documents: list[dict[str, Any]]
    count: int


def _listing(reader: DeadLetterTopic, selection: Selection, limit: int, *, redriven_too: bool) -> _Listing:
    extent = reader.stable_extent()
    marked = _marked(reader, extent)
    count = 0
    newest: list[tuple[int, Place, dict[str, Any]]] = []
    for letter in _letters(reader, extent):
        become = next((word for word, of in marked.items() if letter.place.offset in of[letter.place.partition]), "")
        if (become and not redriven_too) or not selection.takes(letter):
            continue
        count += 1
        ranked = letter.failed_at, letter.place
        if len(newest) < limit:
            heapq.heappush(newest, (*ranked, summary_of(letter, become)))
        elif ranked > newest[0][:2]:
            heapq.heapreplace(newest, (*ranked, summary_of(letter, become)))
    return _Listing([document for _, _, document in sorted(newest, key=lambda one: one[:2])], count)


def _marked(reader: DeadLetterTopic, extent: Extent) -> dict[str, dict[int, Offsets]]:
    """Find which dead letters have a marker, by what became of them: it stands behind them, so it is found first."""
    marked = {
        word: {partition: Offsets(first) for partition, first in extent.firsts.items()}
        for word in (REDRIVEN, DISCARDED)
    }
    for record in reader.read(extent.firsts, extent.ends):
        told = read_record(record)
        # One whose dead letter is gone already is of no interest.
        if isinstance(told, Marker) and told.place.offset >= extent.firsts[record.partition]:
            marked[_word(told)][record.partition].add(told.place.offset)
    return marked


def _word(marker: Marker | None) -> str:
    if marker is None:
        return ""
    return DISCARDED if marker.is_discard else REDRIVEN


def _letters(reader: DeadLetterTopic, extent: Extent) -> Iterator[DeadLetter]:
    for record in reader.read(extent.firsts, extent.ends):
        told = read_record(record)
        if isinstance(told, DeadLetter):
            yield told


def _found(reader: DeadLetterTopic, place: Place) -> tuple[DeadLetter, Marker | None]:
    """Find a dead letter, and its marker. Raises: SetupError."""
    extent = reader.stable_extent()
    letter: DeadLetter | None = None
    if place.offset >= extent.firsts.get(place.partition, place.offset + 1):
        for record in reader.read({place.partition: place.offset}, extent.ends):
            told = read_record(record)
            if letter is None:
                # The first record that comes is the wanted one, or that is not there.
                if not isinstance(told, DeadLetter) or told.place != place:
                    break
                letter = told
            elif isinstance(told, Marker) and told.place == place:
                return letter, told
    if letter is None:
        raise SetupError(f"there is no dead letter at {place}: see `worker dead-letters list --all`")
    return letter, None


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise SetupError(f"--matching: {text} is no regular expression: {error}") from error


def _reason(text: str) -> str:
    reason = text.upper().replace("-", "_")
    if reason not in ADVICE:
        raise SetupError(f"--reason: {text} is no reason; there are: {', '.join(ADVICE)}")
    return reason


def _row(document: dict[str, Any], redriven_too: bool) -> tuple[str, ...]:  # noqa: FBT001 - as the option is.
    what = document["type"] or document["error_message"].partition("\n")[0]
    subject = document["subject"]
    return (
        document["place"],
        document["failed_at"],
        document["reason"],
        *(((_BECOME[document["redriven"], document["discarded"]]),) if redriven_too else ()),
        document["source"],
        "-" if subject is None else short_subject(subject),
        what if len(what) <= _WHAT_CHARACTERS_MAX else f"{what[:_WHAT_CHARACTERS_MAX]}…",
    )


def _summary(listing: _Listing) -> str:
    shown, count = len(listing.documents), listing.count
    if shown < count:
        return f"the newest {shown} of {counted(count, 'dead letter')}; --limit shows more"
    return counted(count, "dead letter")


def _whole(letter: DeadLetter, marker: Marker | None) -> dict[str, Any]:
    """Give all that is known of a dead letter, as JSON."""
    event, advice = letter.event(), ADVICE.get(letter.reason, UNKNOWN)
    bytes_of = {"event": event_to_json(event)} if event else {"value": _json_bytes(letter.original.value)}
    return {
        **summary_of(letter, _word(marker)),
        "redriven_at": marker and moment_text(marker.at),
        "redriven_to": marker and (marker.topic or None),
        "meaning": advice.meaning,
        "remedy": advice.remedy,
        "worker_version": letter.worker_version,
        "value_sha256": letter.value_digest,
        "key": _json_bytes(letter.original.key),
        "headers": [[name, _json_bytes(value)] for name, value in letter.original.headers],
        **bytes_of,
    }


def _told(letter: DeadLetter, marker: Marker | None) -> Iterator[str]:
    advice = ADVICE.get(letter.reason, UNKNOWN)
    yield from table([*_facts(letter, marker)]).splitlines()
    yield from ("", advice.meaning, advice.remedy)
    yield from _told_headers(letter.original.headers)
    yield from ("", "value")
    yield from (f"  {line}" for line in _told_value(letter))


def _facts(letter: DeadLetter, marker: Marker | None) -> Iterator[tuple[str, str]]:
    event = letter.event()
    yield "dead letter", str(letter.place)
    yield "reason", letter.reason
    yield "error", f"{letter.error_name}: {letter.error_message}"
    yield "failed at", f"{moment_text(letter.failed_at)}, worker {letter.worker_version}, group {letter.group_id}"
    yield "from" if letter.origin else "was to go to", letter.source
    if letter.cause is not None:
        yield "caused by", f"{letter.cause_topic}[{letter.cause.partition}]@{letter.cause.offset}"
    if event is not None:
        yield "event", f"{event.type}, id {event.id}, from {event.source}"
    subject = letter.subject()
    if subject is not None:
        yield "instance", f"{short_subject(subject)}, subject {subject}"
    yield "redriven", "no" if marker is None or marker.is_discard else f"{moment_text(marker.at)}, to {marker.topic}"
    if marker is not None and marker.is_discard:
        yield "discarded", moment_text(marker.at)


def _told_headers(headers: Headers) -> Iterator[str]:
    if headers:
        yield from ("", "headers")
        yield from table([(name, _text(value)) for name, value in headers], "  ").splitlines()


def _told_value(letter: DeadLetter) -> list[str]:
    value, place = letter.original.value, letter.origin or letter.cause
    if letter.value_digest is not None:
        where = "" if place is None else f", partition {place.partition}, record_offset {place.offset}"
        return [f"too large for this topic; it stands in PostgreSQL, in the journal{where}"]
    try:
        return json.dumps(loads(value or b""), indent=2, ensure_ascii=False).splitlines()
    except ValueError:
        return _text(value).splitlines() or [""]


def _text(value: bytes | None) -> str:
    """Show bytes: a text where they are one, else base64."""
    if value is None:
        return "(null)"
    try:
        return value.decode()
    except UnicodeDecodeError:
        return f"(base64) {b64encode(value).decode()}"


def _json_bytes(value: bytes | None) -> str | dict[str, str] | None:
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": b64encode(value).decode()}
