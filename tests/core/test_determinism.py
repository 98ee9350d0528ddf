"""The same events give the same bytes in every process, whatever the order of its sets."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from machines.order import machine as order_machine
from tests.core.lab import advanced, hosting, init_of, lab_machine, reply_of, step
from worker.core.codec import encode_record
from worker.core.instances import Instance
from worker.core.outcomes import Unexpected
from worker.core.snapshots import encode_snapshot

REGIONS = ("zeta", "alpha", "mu", "beta", "kappa")
REGION = """
          - name: {0}
            initial: {0}-1
            states:
              - name: {0}-1
                on entry: emit('com.free.one', {{'n': '{0}', 'k': [*init, *counts]}}, domains=['{0}', 'default'])
                on exit: counts['{0}'] = len(counts)
                transitions:
                  - event: evt.one.call.success
                    target: {0}-2
                    action: send('to-{0}')
              - name: {0}-2
                on entry: emit('com.one.call', {{'x': len(counts)}})
                transitions:
                  - event: to-alpha
                    target: {0}-1
                  - event: evt.one.call.later
                    target: {0}-1
""".replace("on entry: emit", "on entry: |\n                  emit")
CHART = """
initial: p
states:
  - name: aside
    transitions:
      - event: evt.one.call.later
        target: h
  - name: p
    initial: q
    on entry: setdefault('counts', {})
    transitions:
      - event: sys.com.one.call.error
        target: aside
    states:
      - name: h
        type: deep history
        memory: q
      - name: q
        contract:
          - always: len(counts) >= len(__old__.counts)
        parallel states:
""" + "".join(REGION.format(name) for name in REGIONS)
ERROR = {"errorName": "E", "errorMessage": "m", "errorStack": None}
LATER = {"type": "evt.one.call.later"}
FAILED = {"type": "sys.com.one.call.error", "dataschema": "#/svc/one/0.0.0", "data": ERROR}


def everything() -> str:
    """Run a chart with all that sismic keeps in sets, and give a digest of all that comes of it."""
    machine = lab_machine(root=CHART, domains=["z", "a"])
    host = hosting(machine)
    seen = [machine.document, order_machine.document, repr(machine.domains)]
    instance: Instance | None = None
    inputs: tuple[dict[str, Any], ...] = ({}, LATER, {}, FAILED, {}, LATER, {})
    events = [
        init_of(data={"z": 1, "a": {"y": 1, "b": 2}}),
        *(reply_of(id=f"e{n}", **one) for n, one in enumerate(inputs)),
    ]
    for event in events:
        outcome = step(host, event, instance)
        seen.append(repr(outcome))
        if not isinstance(outcome, Unexpected):
            instance = advanced(outcome).instance
            seen.append(encode_snapshot(instance.snapshot).decode())
            seen += [repr(encode_record(one.event)) for one in advanced(outcome).emitted]
    assert instance is not None
    assert instance.snapshot.history
    return hashlib.sha256("\n".join(seen).encode()).hexdigest()


def test_the_order_of_a_process_s_sets_is_of_no_account() -> None:
    code = f"import sys; sys.path[:0] = {sys.path!r}; import tests.core.test_determinism as t; print(t.everything())"
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            text=True,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout.strip()
        for seed in ("1", "2", "3")
    }
    assert digests == {everything()}
