"""The simulation: whatever a seed draws, every promise holds; and it would be seen if one did not."""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests.simulation.explaining import explained
from tests.simulation.mutants import MUTANTS
from tests.simulation.nemesis import FAULTS
from tests.simulation.network import CALL_FAULTS
from tests.simulation.runs import Result, run, silence_logs

ROOT = Path(__file__).parents[2]
SEEDS_QUICK = 40
SEEDS_SLOW = 400
SEEDS_FOR_A_MUTANT = 200


@pytest.fixture(autouse=True)
def _silence() -> Iterator[None]:
    silence_logs()
    yield
    structlog.reset_defaults()


def held(seeds: range) -> list[Result]:
    """Run seeds; the first that fails is told in few lines."""
    results = []
    for seed in seeds:
        results.append(run(seed))
        if results[-1].failure is not None:
            pytest.fail("\n".join(explained(results[-1])))
    return results


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_promise_holds_for_many_seeds() -> None:
    results = held(range(SEEDS_QUICK, SEEDS_QUICK + SEEDS_SLOW))
    faults: Counter[str] = Counter()
    for one in results:
        faults += one.faults
    assert not {*FAULTS, *CALL_FAULTS} - faults.keys(), "kinds of faults that no seed met"


def test_a_seed_is_always_the_same_run() -> None:
    for seed in range(5):
        first, second = run(seed), run(seed)
        assert first.digest == second.digest
        assert first.trace.entries == second.trace.entries


def test_a_seed_is_the_same_run_in_each_process() -> None:
    # Sets of texts are in another order in each process.
    program = (
        "from tests.simulation.runs import run, silence_logs; silence_logs(); "
        "print(*(run(seed).digest for seed in range(20)))"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(told) == 1


def test_seeds_are_different_runs() -> None:
    assert len({run(seed).digest for seed in range(5)}) == 5


def test_every_promise_holds_and_the_runs_reach_what_they_are_for() -> None:
    results = held(range(SEEDS_QUICK))
    # A simulation in which nothing goes wrong shows nothing.
    calls = Counter(what for one in results for _, _, what, _, _ in one.trace.entries)
    wanted = {"fence", "unpublished", "claim", "release", "replace", "note_attempt", "is_coming"}
    wanted |= {"restored", "abort", "killed", "stopped"}
    assert not wanted - calls.keys()
    assert min(one.events for one in results) >= 50
    outcomes = sum((one.outcomes for one in results), Counter[str]())
    assert not {"cancelled", "ABSENT", "ENDED", "CHANGED"} - outcomes.keys()
    assert sum(sum(one.faults.values()) > 2 for one in results) >= SEEDS_QUICK // 2


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mutant", sorted(MUTANTS))
def test_a_fault_of_the_protocol_is_found(mutant: str) -> None:
    for seed in range(SEEDS_FOR_A_MUTANT):
        if run(seed, mutant).failure is not None:
            return
    pytest.fail(f"{SEEDS_FOR_A_MUTANT} seeds did not find the mutant {mutant}")


def test_a_failure_is_told_in_few_lines() -> None:
    result = next(one for one in (run(seed, "published-too-early") for seed in range(50)) if one.failure is not None)
    text = list(explained(result))
    assert f"seed {result.seed}" in text[0]
    assert 5 < len(text) < 60
