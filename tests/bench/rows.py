"""Who runs: the rows of the table, each with what starts it."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import product

from tests.bench import kafka_streams
from tests.bench.children import Child, python
from tests.bench.pass_through import Route
from tests.bench.site import Place
from tests.bench.worker_child import IN_TURN, SAMPLED_OUT

PASSED = "pass-through, transactional"
SQL_ALONE = "bulk SQL alone"
STEPS_ALONE = "steps alone, {}"
WORKER = "worker, {}"
BY_HAND = "by hand, event by event"
STREAMS = "Kafka Streams, exactly once"
LIBRARY = "library in memory, {}"

_DELIVERIES = {"exactly_once": "", "at_least_once": ", at least once"}
_PROCESSES = {1: "", 2: ", two processes"}


@dataclass(frozen=True, slots=True)
class Row:
    """What runs as processes of its own. `cause` is where an output names its event."""

    name: str
    start: Callable[[Place], Child]
    settings: Mapping[str, str] = field(default_factory=dict)
    processes: int = 1
    clocked: bool = True
    """Whether its latency is measured too."""

    cause: str = "parentid"


@dataclass(frozen=True, slots=True)
class Inner:
    """What runs in the bench's own process: `kind` is its name without the engine's."""

    kind: str
    engine: str

    @property
    def name(self) -> str:
        return self.kind.format(self.engine)

    @property
    def settings(self) -> dict[str, str]:
        return {"WORKER_ENGINE": self.engine}


def make_rows(engines: Sequence[str], *, streams: bool) -> list[Row | Inner]:
    """Give all rows, ceilings first."""
    ceilings: list[Row | Inner] = [Row(PASSED, _pass_through, cause="id"), Inner(SQL_ALONE, engines[0])]
    steps = [Inner(STEPS_ALONE, engine) for engine in engines]
    workers = [row for engine in engines for row in _workers(engine)]
    workers.append(
        Row(
            f"{WORKER.format(engines[0])}, traces sampled out",
            _worker_sampled_out,
            {"WORKER_ENGINE": engines[0]},
            clocked=False,
        )
    )
    others = [Row(BY_HAND, _by_hand), *([Row(STREAMS, kafka_streams.start)] if streams else [])]
    libraries = [Inner(LIBRARY, engine) for engine in engines]
    return [*ceilings, *steps, *workers, *others, *libraries]


def _workers(engine: str) -> list[Row]:
    name = WORKER.format(engine)
    rows = [
        Row(
            name + named_delivery + named_processes,
            _worker,
            {"WORKER_ENGINE": engine, "WORKER_DELIVERY": delivery},
            processes,
            clocked=processes == 1,
        )
        for (delivery, named_delivery), (processes, named_processes) in product(_DELIVERIES.items(), _PROCESSES.items())
    ]
    in_turn = Row(f"{name}, its transactions in turn", _worker_in_turn, {"WORKER_ENGINE": engine}, clocked=False)
    return [*rows, in_turn]


def _worker(place: Place) -> Child:
    return python("tests.bench.worker_child", environment=place.environment)


def _worker_in_turn(place: Place) -> Child:
    return python("tests.bench.worker_child", IN_TURN, environment=place.environment)


def _worker_sampled_out(place: Place) -> Child:
    return python("tests.bench.worker_child", SAMPLED_OUT, environment=place.environment)


def _by_hand(place: Place) -> Child:
    return python("tests.bench.by_hand", environment=place.environment)


def _pass_through(place: Place) -> Child:
    records_max = place.plan.settings.batch_records_max
    route = Route(place.bootstrap_servers, place.input, place.outputs[0], records_max)
    return python("tests.bench.pass_through", json.dumps(asdict(route)))
