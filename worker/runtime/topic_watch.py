"""Notice that the input topic was made anew under a running worker: its client reads on, past the first new records."""

from dataclasses import dataclass, field

from worker.ports import Background, Clock, Consumer, Pending


@dataclass(slots=True)
class TopicWatch:
    """Ask for the topic's identity every `seconds`, beside the loop."""

    consumer: Consumer
    background: Background
    clock: Clock
    seconds: float
    _known: str | None = None
    _next_at: float = 0.0
    _asking: Pending | None = None
    _answer: list[str] = field(default_factory=list)

    def replaced(self) -> str | None:
        """Give the topic's identity if it is another one since the last look. Raises: KafkaUnavailable."""
        if self._asking is None:
            if self.clock.monotonic() >= self._next_at:
                self._ask()
            return None
        if not self._asking.is_done:
            return None
        asking, self._asking = self._asking, None
        asking.result(0.0)
        before, self._known = self._known, self._answer.pop()
        return self._known if before not in (None, self._known) else None

    def _ask(self) -> None:
        self._next_at = self.clock.monotonic() + self.seconds
        self._asking = self.background.start(lambda: self._answer.append(self.consumer.topic_id()))
