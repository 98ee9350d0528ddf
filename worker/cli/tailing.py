"""`worker tail`: follow the topics of a deployment."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import islice
from typing import Final

from worker.adapters.kafka.tailing import Start, TopicTail
from worker.bootstrap import Deployment
from worker.cli.lineages import Lineage
from worker.cli.loading import deployment_without, missing_topics
from worker.core.errors import SetupError
from worker.core.json import dumps
from worker.logs import configure_logs
from worker.terminal.lines import Told, names_subject

_WAIT_SECONDS: Final = 0.2
# No offsets are committed for it, so all tails may share the name.
_GROUP_SUFFIX: Final = "tail"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Say what to show. No domain means every topic; no count means until Ctrl-C.

    `workflow` is shown with its children, `subject` alone; of `types` some may have `*` for anything.
    """

    domains: tuple[str, ...]
    subject: str | None
    count: int | None
    from_beginning: bool
    workflow: str | None = None
    types: tuple[str, ...] = ()

    def picker(self) -> Callable[[Told], list[Told]]:
        """Give what tells, record by record, which are to be shown now. Raises: SetupError."""
        subject, types = self.subject, self.types
        if self.workflow is not None and subject is not None:
            raise SetupError("--subject shows one instance, --workflow its children too; give one of them")
        lineage = None if self.workflow is None else Lineage(self.workflow)

        def pick(told: Told) -> list[Told]:
            if lineage is not None:
                return [one for one in lineage.take(told) if _is_of_type(one, types)]
            named = subject is None or names_subject(subject, told.subject)
            return [told] if named and _is_of_type(told, types) else []

        return pick


def tail_topics(wanted: Wanted, *, as_json: bool) -> None:
    """Print a line per record. Raises: SetupError, KafkaUnavailable."""
    configure_logs("error", "console")
    pick = wanted.picker()
    deployment = deployment_without("database_url")
    topics = _topics(deployment, wanted.domains)
    width = max(map(len, topics))
    if sys.stderr.isatty():
        # Who looks at an empty screen should know what it waits for.
        sys.stderr.write(f"{', '.join(topics)}, until Ctrl-C:\n")
    for told in _told(deployment, topics, wanted, pick):
        sys.stdout.write((dumps(told.document()).decode() if as_json else told.line(width)) + "\n")
        sys.stdout.flush()


def _told(
    deployment: Deployment, topics: list[str], wanted: Wanted, pick: Callable[[Told], list[Told]]
) -> Iterator[Told]:
    start = Start.BEGINNING if wanted.from_beginning else Start.END
    with TopicTail(deployment.kafka, topics, start, f"{deployment.topics.prefix}-{_GROUP_SUFFIX}") as tail:
        yield from islice(_picked(tail, pick), wanted.count)


def _picked(tail: TopicTail, pick: Callable[[Told], list[Told]]) -> Iterator[Told]:
    while True:
        # What is read at once comes partition by partition; it is easier to follow by time.
        for received in sorted(tail.read(_WAIT_SECONDS), key=lambda one: one.record.timestamp):
            yield from pick(Told(received))


def _is_of_type(told: Told, types: tuple[str, ...]) -> bool:
    return not types or (told.event is not None and any(fnmatchcase(told.event.type, one) for one in types))


def _topics(deployment: Deployment, domains: tuple[str, ...]) -> list[str]:
    """Name the topics to follow. Raises: SetupError, if one is missing; KafkaUnavailable."""
    known = deployment.topic_names()
    topics = [deployment.topics.domain(domain) for domain in domains] or known
    missing = missing_topics(deployment, topics)
    if missing:
        raise SetupError(
            f"these topics are missing, or may not be seen: {', '.join(missing)}. The machines' topics are "
            f"{', '.join(known)}; a worker with WORKER_CREATE_TOPICS=true makes them"
        )
    return list(dict.fromkeys(topics))
