"""Break things for some minutes, then tell what was lost, doubled, out of order or wrong."""

import argparse
import random
import sys

from tests.chaos.nemesis import FAULTS, LANES
from tests.chaos.run import Wishes, run
from tests.chaos.site import Shape
from tests.servers.availability import JAVA_REMEDY
from tests.servers.kafka import kafka_can_run
from worker.terminal.signals import sigterm_interrupts

SEEDS = 1_000_000


def main() -> int:
    """Give the exit status: 1 if anything was lost, doubled, out of order or wrong."""
    chosen = _parser().parse_args()
    if not kafka_can_run():
        print(f"Chaos needs an Apache Kafka of its own: {JAVA_REMEDY}.")
        return 1
    with sigterm_interrupts():
        result = run(_wishes(chosen), lambda text: print(text, flush=True))
    print("\n".join(result.lines))
    print(result.summary)
    return 0 if result.is_good else 1


def _wishes(chosen: argparse.Namespace) -> Wishes:
    settings = dict(one.split("=", 1) for one in chosen.setting)
    shape = Shape(
        chosen.brokers, chosen.workers, chosen.partitions, session_timeout_seconds=chosen.session, settings=settings
    )
    return Wishes(
        minutes=chosen.minutes,
        seed=random.randrange(SEEDS) if chosen.seed is None else chosen.seed,
        shape=shape,
        added_partitions=chosen.partitions // 2 if chosen.add_partitions else 0,
        replayed_records_max=chosen.replay,
        keep=chosen.keep,
        faults=[fault for fault in FAULTS if not chosen.fault or fault.name in chosen.fault],
        lanes=chosen.lanes,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5, help="how long things break (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="what the faults are drawn by (default: a new one each time)")
    parser.add_argument("--brokers", type=int, default=3, choices=(1, 3), help="default: %(default)s")
    parser.add_argument("--workers", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--partitions", type=int, default=6, help="of every topic (default: %(default)s)")
    parser.add_argument("--session", type=float, default=6, help="session time-out, seconds (default: %(default)s)")
    parser.add_argument("--replay", type=int, default=100_000, help="records to run again (default: %(default)s)")
    parser.add_argument("--add-partitions", action="store_true", help="add half as many in mid-run")
    parser.add_argument("--lanes", type=int, default=LANES, help="faults at a time, at most (default: %(default)s)")
    parser.add_argument(
        "--fault",
        action="append",
        choices=[fault.name for fault in FAULTS],
        metavar="NAME",
        help=f"only this one, and others that are named: {', '.join(fault.name for fault in FAULTS)}",
    )
    parser.add_argument("--keep", action="store_true", help="keep history and logs of a good run too")
    parser.add_argument(
        "--setting", action="append", default=[], metavar="WORKER_NAME=VALUE", help="a setting of every worker"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
