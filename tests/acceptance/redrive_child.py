"""`worker dead-letters redrive`, that dies as of `kill -9` at a point of its transactions.

The first argument is the point, as `call:number`: before the so-manieth call of the producer's. `never` never comes.
"""

import os
import signal
import sys
from typing import Any

from confluent_kafka import Producer

from worker.adapters.kafka import redriving
from worker.cli import main


class DyingProducer(Producer):
    """A producer that dies at the point."""

    _calls = 0

    def _die_at(self, call: str) -> None:
        wanted, _, number = sys.argv[0].partition(":")
        if call == wanted:
            DyingProducer._calls += 1
            if DyingProducer._calls == int(number):
                os.kill(os.getpid(), signal.SIGKILL)

    def begin_transaction(self) -> None:
        self._die_at("begin")
        super().begin_transaction()

    def produce(self, *arguments: Any, **named: Any) -> None:
        self._die_at("produce")
        super().produce(*arguments, **named)

    def commit_transaction(self, *arguments: Any) -> None:
        self._die_at("commit")
        super().commit_transaction(*arguments)
        self._die_at("committed")


if __name__ == "__main__":
    sys.argv = sys.argv[1:]
    vars(redriving)["Producer"] = DyingProducer
    main()
