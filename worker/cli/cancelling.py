"""`worker instances cancel`: control records, and what workers made of them.

Parents first: what a cancelled parent has started is known for good once the records before its end are published and
applied, so that children are looked for only then, again and again until there are none.
"""

import getpass
import os
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

import typer

from worker.adapters.kafka.clients import KafkaConfig
from worker.adapters.kafka.producing import EventProducer
from worker.adapters.kafka.topics import TopicAdmin
from worker.adapters.postgres.control_rows import ControlRows, Journalled, Place
from worker.adapters.postgres.instance_rows import KIN_MAX, InstanceRow, InstanceRows
from worker.cli.instances import database_config, find_instance, instance_rows, instance_table
from worker.cli.settling import Workers, settling
from worker.core.codec import encode_control
from worker.core.control import Command, Control
from worker.core.errors import InvalidControlError, SetupError
from worker.core.instances import Status
from worker.core.json import dumps
from worker.core.records import Output
from worker.core.routing import Topics
from worker.core.times import to_event_time
from worker.logs import configure_logs
from worker.settings import Settings, load_settings
from worker.terminal.colours import Colour, Tinted, colours_on
from worker.terminal.faults import FAILED, fail
from worker.terminal.lines import counts_text, short_subject
from worker.terminal.texts import counted, table

APPLICATION_NAME: Final = "worker instances cancel"
ROUNDS_MAX: Final = 100
"""How often children are looked for."""

_LOOK_SECONDS: Final = 0.2
_QUIET_LOOKS: Final = 10
"""How often it is looked before it is told that something is waited for."""

_ENDED: Final = "ended"
_UNKNOWN: Final = "unknown"
_SENT: Final = "sent"
_IGNORED: Final = {"ENDED": _ENDED, "CHANGED": "changed", "ABSENT": "absent"}
_WELL: Final = ("cancelled", _ENDED, _SENT)
_COLOURS: Final = {"cancelled": Colour.GOOD, _ENDED: Colour.FAINT, _SENT: Colour.DOUBTFUL, _UNKNOWN: Colour.DOUBTFUL}
_EXPLAINED: Final = {
    "changed": "it has gone on since: it is not at that step any more",
    "absent": "it is not there any more",
    _UNKNOWN: "no worker has applied the command yet; it stands in the topic, and will be",
}


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted: the cancelled instances' initiators are told `by` whom and why (`reason`).

    `at_step` cancels only an instance that has taken just so many steps.
    """

    named: Sequence[str]
    reason: str
    by: str | None
    children: bool
    at_step: int | None


@dataclass(frozen=True, slots=True)
class Going:
    """Say how it is gone about; with 0 `wait_seconds` nothing is waited for."""

    dry_run: bool
    yes: bool
    wait_seconds: float
    as_json: bool


@dataclass(frozen=True, slots=True)
class Told:
    """What came of one instance: how it stands, by which control record, and more of it in words."""

    row: InstanceRow
    outcome: str
    control_id: str | None = None
    message: str | None = None

    def document(self) -> dict[str, Any]:
        """Give it as JSON."""
        return {
            "id": self.row.id,
            "subject": self.row.subject,
            "machine": self.row.source,
            "version": self.row.version,
            "outcome": self.outcome,
            "control_id": self.control_id,
            "message": self.message,
        }


def cancel_instances(wish: Wish, going: Going) -> None:
    """Cancel instances, and tell of each what came of it; end with 1 if one goes on, or that is not known.

    Raises: SetupError, KafkaUnavailable, DatabaseUnavailable, DatabaseRefused.
    """
    configure_logs("error", "console")
    _check(wish, going)
    settings = load_settings().settings
    with ExitStack() as stack:
        rows = stack.enter_context(instance_rows(settings))
        roots = list({row.digest: row for row in (find_instance(rows, one) for one in wish.named)}.values())
        active = _active(rows, roots, children=wish.children)
        if going.dry_run:
            _show(active, going)
            return
        if active and not going.yes:
            _confirm(active, wish)
        cancelling = _Cancelling(settings, wish, going, rows)
        stack.callback(cancelling.close)
        all_known = cancelling.run(roots)
    ended = [Told(row, _ENDED, message=f"it was {row.status} before") for row in roots if row.status != Status.ACTIVE]
    told = [*ended, *cancelling.told]
    _tell(told, going)
    if not all_known:
        fail(
            f"the workers did not come far enough in {going.wait_seconds:g} s to know all children: run this again, "
            "with a longer --wait. What is cancelled stays so"
        )
    if any(one.outcome not in _WELL for one in told):
        sys.exit(FAILED)


def _check(wish: Wish, going: Going) -> None:
    if wish.children and not going.wait_seconds:
        raise SetupError("--children goes by what workers have done: it can't be without --wait")
    if wish.at_step is not None and (wish.children or len(wish.named) > 1):
        raise SetupError("--at-step is about one instance: it goes with neither --children nor several instances")
    try:
        # Whatever the instance: so a reason that is too long is told before anything is looked for.
        encode_control(_control("any", wish))
    except InvalidControlError as error:
        raise SetupError(f"--reason or --by can't be sent: {error}") from error


def _active(rows: InstanceRows, roots: Sequence[InstanceRow], *, children: bool) -> list[InstanceRow]:
    if children:
        return rows.active_kin([row.digest for row in roots])
    return [row for row in roots if row.status == Status.ACTIVE]


def _show(active: Sequence[InstanceRow], going: Going) -> None:
    if going.as_json:
        sys.stdout.write("".join(f"{dumps(Told(row, 'active').document()).decode()}\n" for row in active))
    elif active:
        sys.stdout.write(f"{_listed(active)}\n")
    sys.stdout.flush()
    sys.stderr.write(f"{_counted(active)} would be cancelled\n")


def _confirm(active: Sequence[InstanceRow], wish: Wish) -> None:
    """Ask. Raises: SetupError, if there is nobody."""
    if not sys.stdin.isatty():
        raise SetupError("there is nobody to ask: say --yes, or look first with --dry-run. Nothing was cancelled")
    sys.stderr.write(f"{_listed(active)}\n")
    more = ", and what they start until then" if wish.children else ""
    if not typer.confirm(f"Cancel {_counted(active)}{more}?", err=True):
        fail("nothing was cancelled")


def _counted(active: Sequence[InstanceRow]) -> str:
    return f"{'at least ' if len(active) >= KIN_MAX else ''}{counted(len(active), 'instance')}"


def _listed(active: Sequence[InstanceRow]) -> str:
    return instance_table(active, time.time_ns() // 1_000_000, colours=colours_on(sys.stdout))


def _tell(told: Sequence[Told], going: Going) -> None:
    if going.as_json:
        sys.stdout.write("".join(f"{dumps(one.document()).decode()}\n" for one in told))
    elif told:
        sys.stdout.write(f"{table([_cells(one) for one in told], colours=colours_on(sys.stdout))}\n")
    sys.stdout.flush()
    counts = Counter(one.outcome for one in told)
    sys.stderr.write(f"{counted(len(told), 'instance')}{': ' if told else ''}{counts_text(counts)}\n")


def _cells(one: Told) -> tuple[str, ...]:
    outcome = Tinted(one.outcome, _COLOURS.get(one.outcome, Colour.BAD))
    return one.row.id, short_subject(one.row.subject), outcome, one.message or ""


def _control(subject: str, wish: Wish) -> Control:
    return Control(
        id=str(uuid4()),
        subject=subject,
        command=Command.CANCEL,
        requested_by=wish.by or _who(),
        time=to_event_time(time.time_ns() // 1_000_000),
        reason=wish.reason,
        expected_revision=wish.at_step,
    )


def _who() -> str:
    """Name whoever runs this, as well as the system knows."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = f"user {os.getuid()}"
    return f"{user}@{socket.gethostname()}"


@dataclass(frozen=True, slots=True)
class _Sent:
    """A control record that stands in the topic."""

    row: InstanceRow
    control_id: str
    place: Place


@dataclass(slots=True)
class _Cancelling:
    """Send control records and wait for what workers make of them, until the deadline."""

    settings: Settings
    wish: Wish
    going: Going
    rows: InstanceRows
    told: list[Told] = field(default_factory=list)
    _looks: Counter[str] = field(default_factory=Counter)
    _deadline: float = field(init=False)
    _topic: str = field(init=False)
    _kafka: KafkaConfig = field(init=False)
    _producer: EventProducer = field(init=False)
    _control_rows: ControlRows = field(init=False)
    _workers: Workers = field(init=False)

    def __post_init__(self) -> None:
        self._topic = Topics(self.settings.topic_prefix).input
        self._kafka = KafkaConfig(self.settings.kafka_bootstrap_servers, self.settings.kafka_properties)
        if TopicAdmin(self._kafka).missing([self._topic]):
            raise SetupError(f"there is no topic {self._topic}: is WORKER_TOPIC_PREFIX right?")
        self._producer = EventProducer(self._kafka)
        self._control_rows = ControlRows(database_config(self.settings), APPLICATION_NAME)
        self._workers = Workers(self._kafka, self._topic, self.settings.group_id, self._control_rows)
        self._deadline = time.monotonic() + self.going.wait_seconds

    def close(self) -> None:
        """Close the connection."""
        self._control_rows.close()

    def run(self, roots: Sequence[InstanceRow]) -> bool:
        """Cancel the roots, then what is below them, and keep what came of each; say whether all are known."""
        asked: set[bytes] = set()
        wanted = _active(self.rows, roots, children=False)
        for _ in range(ROUNDS_MAX):
            sent = [self._send(row) for row in wanted]
            asked |= {row.digest for row in wanted}
            self.told += self._awaited(sent)
            if not self.wish.children:
                return True
            if not self._settle(sent):
                return False
            wanted = [row for row in self.rows.active_kin([row.digest for row in roots]) if row.digest not in asked]
            if not wanted:
                return True
        return False

    def _send(self, row: InstanceRow) -> _Sent:
        control = _control(row.subject, self.wish)
        encoded = encode_control(control)
        place = self._producer.deliver(Output(self._topic, encoded.key, encoded.value, encoded.headers))
        return _Sent(row, control.id, place)

    def _awaited(self, sent: Sequence[_Sent]) -> Iterator[Told]:
        """Wait for the journal to know them all, and give what it says."""
        found: dict[Place, Journalled] = {}
        while len(found) < len(sent) and self.going.wait_seconds:
            left = {one.place: one.control_id for one in sent if one.place not in found}
            found |= self._control_rows.outcomes(left)
            if len(found) < len(sent) and not self._pause("workers have applied the commands"):
                break
        missing = _UNKNOWN if self.going.wait_seconds else _SENT
        for one in sent:
            journalled = found.get(one.place)
            outcome, message = (missing, None) if journalled is None else _outcome(journalled)
            yield Told(one.row, outcome, one.control_id, _EXPLAINED.get(outcome, message))

    def _settle(self, sent: Sequence[_Sent]) -> bool:
        """Wait until all that these instances started is applied; say whether it is."""
        looks = settling(self._workers, [one.place for one in sent])
        return all(self._pause("workers have applied all that these instances started") for _ in looks)

    def _pause(self, what: str) -> bool:
        """Wait a little, and tell for what if that goes on; not, if the time is up."""
        if time.monotonic() >= self._deadline:
            return False
        self._looks[what] += 1
        if self._looks[what] == _QUIET_LOOKS:
            sys.stderr.write(f"waiting until {what}\n")
            sys.stderr.flush()
        time.sleep(_LOOK_SECONDS)
        return True


def _outcome(journalled: Journalled) -> tuple[str, str | None]:
    if journalled.outcome == "ignored":
        reason = journalled.reason or ""
        return _IGNORED.get(reason, reason.lower()), None
    text = ": ".join(part for part in (journalled.reason, journalled.message) if part)
    return journalled.outcome, text or None
