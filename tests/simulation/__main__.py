"""Run seeds: `python -m tests.simulation --seed S --runs N [--mutant NAME]`; or SEED and RUNS in the environment."""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Sequence
from time import perf_counter

from tests.simulation.explaining import explained
from tests.simulation.mutants import MUTANTS
from tests.simulation.runs import Result, run, silence_logs

PROGRESS_SECONDS = 10.0


def main() -> int:
    arguments = _arguments()
    silence_logs()
    results: list[Result] = []
    begun = told = perf_counter()
    for seed in range(arguments.seed, arguments.seed + arguments.runs):
        results.append(run(seed, arguments.mutant))
        if results[-1].failure is not None:
            break
        if perf_counter() - told > PROGRESS_SECONDS:
            told = perf_counter()
            print(_progress(results, told - begun), flush=True)
    print(_progress(results, perf_counter() - begun))
    return _verdict(results, arguments.mutant)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SEED") or 0), help="the first seed")
    parser.add_argument("--runs", type=int, default=int(os.environ.get("RUNS") or 200), help="how many seeds")
    parser.add_argument("--mutant", choices=MUTANTS, help="a deliberate fault of the protocol, which is to be found")
    return parser.parse_args()


def _progress(results: Sequence[Result], seconds: float) -> str:
    events = sum(one.events for one in results)
    virtual = sum(one.virtual_seconds for one in results) / 3600
    return (
        f"{len(results)} seeds in {seconds:.0f} s ({60 * len(results) / seconds:.0f} a minute), {events} events, "
        f"{sum(sum(one.faults.values()) for one in results)} faults, {virtual:.1f} hours of virtual time"
    )


def _verdict(results: Sequence[Result], mutant: str | None) -> int:
    faults: Counter[str] = Counter()
    for one in results:
        faults += one.faults
    print("faults: " + ", ".join(f"{kind} {times}" for kind, times in sorted(faults.items())))
    last = results[-1]
    if last.failure is not None:
        print(*explained(last), sep="\n")
        named = f" --mutant {mutant}" if mutant else ""
        print(f"repeat with: python -m tests.simulation --seed {last.seed} --runs 1{named}")
    found = last.failure is not None
    if mutant:
        print(f"the mutant {mutant} {'is found' if found else 'is NOT found'}")
        return 0 if found else 1
    print("FAILED" if found else "every promise held")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
