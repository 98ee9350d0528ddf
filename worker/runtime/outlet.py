"""Outputs from the journal, as the brokers take them now.

They were checked before they were journalled; topics may have been deleted, or take smaller records, since.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from worker.core.errors import ExecutionFailure
from worker.core.outcomes import DeadLettered, DeadLetterReason
from worker.core.records import Output
from worker.core.routing import Router
from worker.ports import Unpublished
from worker.runtime.batch import Limits

_LOG = structlog.get_logger("worker.outlet")


@dataclass(frozen=True, slots=True)
class Outlet:
    """Give each output a topic that takes it: its own, else the dead letters'. `now` is in milliseconds.

    `refused` says what brokers have refused for good, though it was within the limits.
    """

    router: Router
    limits: Limits
    now: int
    refused: Mapping[Output, str]

    def publishable(self, one: Unpublished) -> list[Output]:
        """Give the outputs of one journalled record, in their order."""
        return [self._taken(output, (one.partition, one.offset)) for output in one.outputs]

    def _taken(self, output: Output, cause: tuple[int, int]) -> Output:
        outcome = self._refusal(output)
        if outcome is None:
            return output
        _LOG.error("output_refused", topic=output.topic, partition=cause[0], offset=cause[1], why=outcome.error_message)
        dead_letter = self.router.refused_output(output, outcome, cause, self.now)
        if self._refusal(dead_letter) is None:
            return dead_letter
        return self.router.refused_output(dead_letter, outcome, cause, self.now)

    def _refusal(self, output: Output) -> DeadLettered | None:
        """Say why this output can't be published as it is, if it can't."""
        if output in self.refused:
            return DeadLettered(DeadLetterReason.OUTPUT_REFUSED, "RefusedByBroker", self.refused[output])
        refusal = self.limits.refusal((output,))
        return None if refusal is None else _outcome(refusal)


def _outcome(refusal: DeadLettered | ExecutionFailure) -> DeadLettered:
    reason = DeadLetterReason.OUTPUT_REFUSED
    if isinstance(refusal, ExecutionFailure):
        return DeadLettered(reason, refusal.name, refusal.message)
    return DeadLettered(reason, refusal.error_name, refusal.error_message)
