"""`worker tail`: follow the topics of a deployment."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from worker.adapters.kafka.tailing import Start, TopicTail
from worker.bootstrap import Deployment
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
    """Say what to show. No domain means every topic; no count means until Ctrl-C."""

    domains: tuple[str, ...]
    subject: str | None
    count: int | None
    from_beginning: bool


def tail_topics(wanted: Wanted, *, as_json: bool) -> None:
    """Print a line per record. Raises: SetupError, KafkaUnavailable."""
    configure_logs("error", "console")
    deployment = deployment_without("database_url")
    topics = _topics(deployment, wanted.domains)
    width = max(map(len, topics))
    if sys.stderr.isatty():
        # Who looks at an empty screen should know what it waits for.
        sys.stderr.write(f"{', '.join(topics)}, until Ctrl-C:\n")
    for told in _told(deployment, topics, wanted):
        sys.stdout.write((dumps(told.document()).decode() if as_json else told.line(width)) + "\n")
        sys.stdout.flush()


def _told(deployment: Deployment, topics: list[str], wanted: Wanted) -> Iterator[Told]:
    start = Start.BEGINNING if wanted.from_beginning else Start.END
    left = wanted.count
    with TopicTail(deployment.kafka, topics, start, f"{deployment.topics.prefix}-{_GROUP_SUFFIX}") as tail:
        while True:
            # What is read at once comes partition by partition; it is easier to follow by time.
            for received in sorted(tail.read(_WAIT_SECONDS), key=lambda one: one.record.timestamp):
                told = Told(received)
                if wanted.subject is not None and not names_subject(wanted.subject, told.subject):
                    continue
                yield told
                left = None if left is None else left - 1
                if left == 0:
                    return


def _topics(deployment: Deployment, domains: tuple[str, ...]) -> list[str]:
    """Name the topics to follow. Raises: SetupError, if one is missing; KafkaUnavailable."""
    known = deployment.topic_names()
    topics = [deployment.topics.domain(domain) for domain in domains] or known
    missing = missing_topics(deployment, topics)
    if missing:
        raise SetupError(
            f"these topics are missing: {', '.join(missing)}. The machines' topics are {', '.join(known)}; "
            "a worker with WORKER_CREATE_TOPICS=true makes them"
        )
    return list(dict.fromkeys(topics))
