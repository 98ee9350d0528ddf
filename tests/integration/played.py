"""A database with instances in it, as a worker leaves them: every event is a batch of its own."""

from collections.abc import Mapping, Sequence
from typing import Any

from worker.adapters.postgres.database import PostgresDatabase
from worker.adapters.postgres.session import DatabaseConfig
from worker.core.codec import encode_record
from worker.core.digests import content_digest, event_key, subject_digest
from worker.core.engine.sismic_engine import SismicEngine
from worker.core.events import Event, create_event
from worker.core.instances import Instance
from worker.core.machines import Machine
from worker.core.outcomes import Advanced, Cancelled, DeadLettered, Failed, Outcome, Unexpected
from worker.core.records import Record
from worker.core.registry import Registry
from worker.core.routing import Router, Topics
from worker.core.step import Host, StepRequest, run_step
from worker.core.subjects import decode_subject, root_subject
from worker.ports import JournalRow, Position, Wanted, Writes

OWNER = "worker-0123456789abcdef"
SHOP = "com.example.shop"
ORDER = "arvo.orc.order"
NOW = 1_790_000_000_000
WORDS = {
    Advanced: "advanced",
    Unexpected: "unexpected",
    Failed: "failed",
    Cancelled: "cancelled",
    DeadLettered: "dead_lettered",
}


class Played:
    """Run events against the database at `url`, one after the other, as partition 0's records."""

    def __init__(self, url: str, machines: Sequence[Machine]) -> None:
        self.database = PostgresDatabase(DatabaseConfig(url), OWNER)
        self.host = Host(Registry(machines, SismicEngine()))
        self.router = Router(Topics("orchestrator"), self.host.registry, "orchestrator", "1.2.3")
        self.database.register(machines, "a test")
        self.database.insert_positions([Position(0, "topic", 0, 0, OWNER, "transactional")])
        self.instances: dict[bytes, Instance] = {}
        self._offset = 0

    def take(self, event: Event) -> Outcome:
        """Run one event and keep what comes of it."""
        digest = subject_digest(event.subject)
        before = self.instances.get(digest)
        now = NOW + self._offset * 1000
        outcome = run_step(self.host, StepRequest(event, decode_subject(event.subject), before, None, now))
        after = outcome.instance if isinstance(outcome, Advanced | Cancelled) else before
        changed = after is not None and after is not before
        self.database.lock(OWNER, Wanted({0: self._offset}, [digest], [event_key(event)]))
        self.database.read([digest])
        self.database.write(
            Writes(
                created=[(digest, after)] if after and changed and before is None else [],
                changed=[(digest, after, before.revision)] if after and changed and before else [],
                journal=[self._row(event, outcome, before, now)],
                next_offsets={0: self._offset + 1},
                published_offsets={0: 0},
            )
        )
        self.database.commit()
        if after is not None:
            self.instances[digest] = after
        self._offset += 1
        return outcome

    def _row(self, event: Event, outcome: Outcome, before: Instance | None, now: int) -> JournalRow:
        encoded = encode_record(event)
        known: dict[str, Any] = {}
        if isinstance(outcome, Advanced):
            known = {"states_after": outcome.instance.snapshot.configuration, "revision": outcome.instance.revision}
            known["outputs"] = self.router.outputs(outcome.emitted)
        elif isinstance(outcome, Failed):
            known = {"error_name": outcome.error_name, "error_message": outcome.error_message}
            known["outputs"] = self.router.outputs((outcome.emitted,))
        elif isinstance(outcome, DeadLettered):
            known = {"reason": outcome.reason.value}
        return JournalRow(
            record=Record(0, self._offset, now, encoded.key, encoded.value, encoded.headers),
            outcome=WORDS[type(outcome)],
            now=now,
            consumed=True,
            subject_digest=subject_digest(event.subject),
            event_key=event_key(event),
            event_source=event.source,
            event_id=event.id,
            event_type=event.type,
            content_digest=content_digest(event),
            states_before=before.snapshot.configuration if before else None,
            **known,
        )


def order_subject(number: int, version: str = "1.0.0") -> str:
    return root_subject(name=ORDER, version=version, initiator=SHOP, execution_id=f"{number:08x}-0000-4000-8000")


def started(number: int, **data: Any) -> Event:
    """Give the event that starts an order."""
    given: dict[str, Any] = {
        "parentSubject$$": None,
        "order_id": f"A-{number}",
        "amount": 40,
        "customer": "c",
        "items": [],
    }
    return event_of(order_subject(number), ORDER, given | data, SHOP, f"init-{number}")


def answer(to: Event, type_: str, data: Mapping[str, Any], id_: str) -> Event:
    """Give a service's answer to an event that an instance emitted."""
    return event_of(to.subject, type_, data, to.type, id_, parentid=to.id)


def event_of(subject: str, type_: str, data: Mapping[str, Any], source: str, id_: str, **more: Any) -> Event:
    return create_event(
        {
            "id": id_,
            "source": source,
            "type": type_,
            "subject": subject,
            "data": data,
            "time": "2026-01-01T00:00:00.000+00:00",
            "to": ORDER,
            **more,
        }
    )
