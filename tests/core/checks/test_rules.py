"""Each rule finds what it is for, on the line that has it, and nothing else.

`# expect: RULE` marks the lines of the charts; what is not marked must not be found.
"""

import re
from collections.abc import Callable
from textwrap import dedent, indent
from typing import Any

import pytest
from pydantic import BaseModel

from tests.core.engine.charts import step_input
from tests.core.lab import Anything
from worker.core.checks import RULES, check_machine
from worker.core.contracts import create_contract, create_orchestrator_contract
from worker.core.engine.sismic_engine import SismicEngine
from worker.core.errors import ExecutionFailure, InvalidDataError
from worker.core.machines import Machine, setup_machine

EXPECTED = re.compile(r"# expect: ([\w-]+)")


class Call(BaseModel):
    amount: int
    note: str = ""


class Done(BaseModel):
    result: int


def call(function: Callable[..., Any]) -> None:
    function("x")


pay = create_contract(
    uri="#/svc/pay",
    type="com.pay.charge",
    versions={"1.0.0": {"accepts": Call, "emits": {"evt.pay.success": Anything, "evt.pay.declined": Anything}}},
)
own = create_orchestrator_contract(
    uri="#/orc/shop", name="shop", versions={"1.0.0": {"init": Anything, "complete": Done}}
)

HANDLED = """\
- event: evt.pay.success
  target: end
- event: evt.pay.declined
  target: end
- event: sys.com.pay.charge.error
  target: end
"""
END = """\
- name: end
  type: final
  on entry: complete(result=total)
"""


def machine(states: str, *, initial: str = "a", root: str = "", domains: tuple[str, ...] = ()) -> Machine:
    head = f"statechart:\n  name: shop\n  preamble: total = 0\n  root state:\n    name: root\n    initial: {initial}\n"
    text = head + indent(dedent(root), " " * 4) + "    states:\n" + indent(dedent(states), " " * 6)
    return setup_machine(
        contract=own.version("1.0.0"),
        services=[pay.version("1.0.0")],
        statechart=text,
        functions={"call": call},
        domains=domains,
    )


def with_handlers(states: str) -> str:
    """Put the transitions on all replies where HANDLED stands, and the final state where END stands."""
    put = {"HANDLED": HANDLED, "END": END}
    lines = (re.sub(r"\S+$", "", line) if line.strip() in put else line for line in states.splitlines())
    put_in = zip(lines, states.splitlines(), strict=True)
    states = "\n".join(
        indent(put[line.strip()], depth).rstrip() if line.strip() in put else line for depth, line in put_in
    )
    # In YAML's own words a line with braces and colons is a block.
    return re.sub(r"^( *)(on entry|action): (emit\(.*)$", r"\1\2: |\n\1  \3", states, flags=re.MULTILINE)


def findings(made: Machine) -> list[tuple[str, int | None]]:
    return sorted((one.rule, one.place.line) for one in check_machine(made))


def expected(made: Machine) -> list[tuple[str, int | None]]:
    lines = enumerate(made.chart.positions.lines, start=1)
    # A comment that is alone on its line stands for the next one.
    marks = ((number + line.lstrip().startswith("#"), line) for number, line in lines)
    return sorted((rule, number) for number, line in marks for rule in EXPECTED.findall(line))


CASES = {
    "a chart in order": """
        - name: a
          on entry: emit("com.pay.charge", {"amount": 1}, domains=["external"])
          transitions:
            HANDLED
        END
    """,
    "unreachable states: the top of a branch, and history that is no target": """
        - name: a
          transitions:
            - event: evt.pay.success
              target: end
        - name: b # expect: unreachable-state
          initial: c
          states:
            - name: c
        - name: d # expect: unreachable-state
          type: shallow history
          memory: a
        END
    """,
    "transitions into one region": """
        - name: a
          transitions:
            - event: evt.pay.success
              target: both
            - event: evt.pay.declined # expect: half-entered-parallel
              target: c
        - name: both
          parallel states:
            - name: left
              initial: b
              states:
                - name: b
                  transitions:
                    - event: evt.pay.success
                      target: c
                    - event: evt.pay.declined
                      target: left
                    - event: sys.com.pay.charge.error # expect: half-entered-parallel
                      target: d
                - name: c
              transitions:
                - event: sys.com.pay.charge.error
                  target: c
            - name: right
              initial: d
              states:
                - name: d
          transitions:
            - event: evt.pay.declined # expect: half-entered-parallel
              target: right
            - guard: active("c") and active("d")
              target: end
        END
    """,
    "regions that are not entered are not reached": """
        - name: a
          transitions:
            - event: evt.pay.success # expect: half-entered-parallel
              target: c
        - name: both
          parallel states:
            - name: left
              initial: b
              states:
                - name: b # expect: unreachable-state
                - name: c
            - name: right # expect: unreachable-state
          transitions:
            - event: evt.pay.success
              target: end
        END
    """,
    "a compound state without an initial one": """
        - name: a # expect: no-initial-state
          states:
            - name: b # expect: unreachable-state
          transitions:
            - event: evt.pay.success
              target: end
        END
    """,
    "a compound state that is entered at its states": """
        - name: a
          transitions:
            - event: evt.pay.success
              target: c
        - name: b
          states:
            - name: c
              transitions:
                - event: evt.pay.declined
                  target: end
        END
    """,
    "a dead end": """
        - name: a
          transitions:
            - event: evt.pay.success
              target: b
            - event: evt.pay.declined
              target: end
        - name: b # expect: dead-end
          transitions:
            - event: evt.pay.success
              action: total += 1
        END
    """,
    "a state that regions beside it leave is no dead end": """
        - name: a
          parallel states:
            - name: b
            - name: c
              transitions:
                - event: evt.pay.success
                  target: end
        END
    """,
    "no way to an end": """
        - name: a
          transitions:
            - event: evt.pay.success
              target: b
            - event: evt.pay.declined
              target: end
        - name: b # expect: no-way-to-end
          transitions:
            - event: evt.pay.success
              target: c
        - name: c # expect: no-way-to-end
          transitions:
            - event: evt.pay.success
              target: b
        END
    """,
    "an eventless loop": """
        - name: a
          transitions:
            - target: b # expect: eventless-loop
        - name: b
          transitions:
            - target: a
            - event: evt.pay.success # expect: shadowed-transition
              target: end
        END
    """,
    "an eventless transition without target or guard": """
        - name: a
          transitions:
            - action: total += 1 # expect: eventless-loop
            - event: evt.pay.success
              target: end
        END
    """,
    "an eventless transition without target whose guard stays true": """
        - name: a
          parallel states:
            - name: left
              initial: b
              states:
                - name: b
                  transitions:
                    - event: evt.pay.success
                      target: c
                - name: c
            - name: right
          transitions:
            - guard: active("c") # expect: eventless-loop
              action: emit("com.pay.charge", {"amount": 1})
            HANDLED
        END
    """,
    "an eventless transition without target that changes what its guard looks at": """
        - name: a
          transitions:
            - guard: total < 3
              action: total += 1
            - event: evt.pay.success
              target: end
        END
    """,
    "eventless transitions that another one ends": """
        - name: a
          transitions:
            - target: b
              action: total += 1
              priority: low
            - guard: total > 3
              target: end
        - name: b
          initial: c
          states:
            - name: c
              transitions:
                - guard: total > 5
                  target: end
          transitions:
            - target: a
        END
    """,
    "eventless transitions that lead to what history remembers": """
        - name: a
          initial: b
          states:
            - name: b
              transitions:
                - event: evt.pay.success
                  target: d
                - event: evt.pay.declined
                  target: end
            - name: c
              transitions:
                - target: d
            - name: last
              type: shallow history
              memory: c
        - name: d
          transitions:
            - target: last
        END
    """,
    "eventless transitions that a guard or an end stops": """
        - name: a
          transitions:
            - guard: total < 3
              action: total += 1
            - guard: total >= 3
              target: b
        - name: b
          transitions:
            - target: end
        END
    """,
    "transitions that clash": """
        - name: a
          transitions:
            - event: evt.pay.success
              target: end
            - event: evt.pay.success # expect: ambiguous-transitions
              action: total += 1
            - event: evt.pay.declined
              guard: total
              target: end
            - event: evt.pay.declined # expect: ambiguous-transitions
              target: end
            - event: sys.com.pay.charge.error
              guard: total
              target: end
            - event: sys.com.pay.charge.error
              guard: not total
              target: end
        END
    """,
    "transitions with one guard": """
        - name: a
          transitions:
            - event: evt.pay.success
              guard: total
              target: end
            - event: evt.pay.success # expect: ambiguous-transitions
              guard: total
              action: total += 1
            - event: evt.pay.declined
              guard: total
              priority: high
              target: end
            - event: evt.pay.declined # expect: shadowed-transition
              guard: total
              action: total += 1
            - event: sys.com.pay.charge.error
              guard: total > 1
              priority: high
              target: end
            - event: sys.com.pay.charge.error
              guard: total
              target: end
        END
    """,
    "regions that can't both have an event": """
        - name: a
          parallel states:
            - name: left
              initial: b
              states:
                - name: b
                  transitions:
                    - event: evt.pay.success # expect: conflicting-regions
                      target: end
                    - event: evt.pay.declined
                      guard: total
                      target: end
            - name: right
              initial: c
              states:
                - name: c
                  transitions:
                    - event: evt.pay.success
                      action: total += 1
                    - event: evt.pay.declined
                      target: d
                - name: d
                  transitions:
                    - event: sys.com.pay.charge.error
                      target: end
        END
    """,
    "regions of which one may have an event otherwise": """
        - name: a
          parallel states:
            - name: left
              initial: b
              states:
                - name: b
                  transitions:
                    - event: evt.pay.success
                      action: total += 1
                    - event: evt.pay.declined
                      guard: total
                      priority: high
                      action: total += 1
                    - event: evt.pay.declined
                      target: end
              transitions:
                - event: evt.pay.success
                  target: end
            - name: right
              transitions:
                - event: evt.pay.success
                  action: total += 1
                - event: evt.pay.declined
                  action: total += 1
        END
    """,
    "regions that both have an event and stay": """
        - name: a
          parallel states:
            - name: left
              initial: b
              states:
                - name: b
                  transitions:
                    - event: evt.pay.success
                      target: c
                    - event: evt.pay.declined
                      action: total += 1
                - name: c
            - name: right
              transitions:
                - event: evt.pay.success
                  action: total += 1
          transitions:
            - event: evt.pay.declined
              target: end
            - event: sys.com.pay.charge.error
              target: end
        END
    """,
    "transitions in a state that is left at once": """
        - name: a
          transitions:
            - target: b
            - event: evt.pay.success # expect: shadowed-transition
              target: end
        - name: b
          transitions:
            - guard: total
              target: end
            - event: evt.pay.success
              target: end
        END
    """,
    "an end below the root ends no instance": """
        - name: a
          initial: b
          states:
            - name: b
              transitions:
                - event: evt.pay.success
                  target: c
                - event: evt.pay.declined
                  target: end
            - name: c # expect: no-way-to-end
              type: final
        END
    """,
    "an end below the root that its parent leaves": """
        - name: a
          initial: b
          states:
            - name: b
              transitions:
                - event: evt.pay.success
                  target: c
            - name: c
              type: final
          transitions:
            - guard: active("c")
              target: end
        END
    """,
    "a transition in another's shadow": """
        - name: a
          transitions:
            - event: evt.pay.success
              priority: high
              target: end
            - event: evt.pay.success # expect: shadowed-transition
              guard: total
              target: end
            - event: evt.pay.declined
              priority: high
              guard: total
              target: end
            - event: evt.pay.declined
              target: end
        END
    """,
    "replies that no state takes": """
        - name: a
          on entry: |
            total = 1
            emit("com.pay.charge", {"amount": 1}) # expect: unhandled-reply # expect: unhandled-system-error
          transitions:
            - event: evt.pay.success
              target: end
        END
    """,
    "replies that states within take": """
        - name: a
          on entry: emit("com.pay.charge", {"amount": 1})
          initial: b
          states:
            - name: b
              transitions:
                HANDLED
        END
    """,
    "replies that a region beside takes, or what history remembers": """
        - name: a
          initial: both
          states:
            - name: both
              parallel states:
                - name: left
                  on entry: emit("com.pay.charge", {"amount": 1})
                - name: right
                  initial: b
                  states:
                    - name: b
                      transitions:
                        HANDLED
                        - event: evt.pay.success
                          guard: total
                          priority: high
                          target: pause
            - name: last
              type: deep history
              memory: both
        - name: pause
          on entry: emit("com.pay.charge", {"amount": 1})
          transitions:
            - guard: total
              target: last
        END
    """,
    "replies to an instance that has ended": """
        - name: a
          transitions:
            - event: evt.pay.success
              target: end
              action: |
                emit("com.pay.charge", {"amount": 1})
        END
    """,
    "two calls whose replies no state takes": """
        - name: a
          on entry: |
            emit("com.pay.charge", {"amount": 1}) # expect: unhandled-reply
          transitions:
            - event: evt.pay.success
              target: end
              guard: total
            - event: sys.com.pay.charge.error
              action: |
                emit("com.pay.charge", {"amount": 2}) # expect: unhandled-reply
        END
    """,
    "replies that only an earlier state takes": """
        - name: a
          transitions:
            HANDLED
            - event: evt.pay.success
              priority: high
              guard: total
              target: b
              action: |
                # expect: unhandled-reply # expect: unhandled-reply # expect: unhandled-system-error
                emit("com.pay.charge", {"amount": 1})
        - name: b
          transitions:
            - guard: total > 3
              target: end
        END
    """,
    "events that nobody sends": """
        - name: a
          on entry: send("evt.internal.note")
          transitions:
            - event: evt.internal.note
              action: total += 1
            - event: evt.pay.sucess # expect: unknown-event
              target: end
            - event: arvo.orc.shop # expect: unknown-event
              target: end
        END
    """,
    "what notify tells is no event of the chart": """
        - name: a
          on entry: notify("evt.internal.note")
          transitions:
            - event: evt.internal.note # expect: unknown-event
              action: total += 1
            - event: evt.pay.success
              target: end
        END
    """,
    "events that a function may send": """
        - name: a
          on entry: call(send)
          transitions:
            - event: evt.any.thing
              target: end
        END
    """,
    "events that may be sent under any name": """
        - name: a
          on entry: send(init["name"])
          transitions:
            - event: evt.any.thing
              target: end
        END
    """,
    "emitted types that no contract accepts": """
        - name: a
          on entry: |
            emit("com.pay.charge" if total else "com.pay.charged", {"amount": 1}) # expect: unaccepted-emission
            emit(init["type"], {})
          transitions:
            HANDLED
        END
    """,
    "data without a required field": """
        - name: a
          on entry: |
            emit("com.pay.charge", {"note": "x"}) # expect: incomplete-data
            emit("com.pay.charge", {**init})
            emit("com.pay.charge", dict(note="x")) # expect: incomplete-data
            emit("com.pay.charge", dict(init, note="x"))
            emit("com.pay.charge", {init["key"]: 1})
          transitions:
            HANDLED
        END
    """,
    "a completion without a required field": """
        - name: a
          transitions:
            - event: evt.pay.success
              target: end
              action: complete() # expect: incomplete-completion
            - event: evt.pay.declined
              target: end
              action: complete(**init)
        - name: end
          type: final
    """,
    "an end without a completion": """
        - name: a
          transitions:
            - event: evt.pay.success
              target: end
            - event: evt.pay.declined
              target: refused
        - name: refused # expect: incomplete-completion
          type: final
        END
    """,
    "an end whose completion a function may make": """
        - name: a
          transitions:
            - event: evt.pay.success
              action: call(complete)
              target: end
        - name: end
          type: final
    """,
    "an end whose completion was made before": """
        - name: a
          on exit: |
            if total:
              complete(result=total)
          transitions:
            - event: evt.pay.success
              target: end
        - name: end
          type: final
    """,
    "fields that the contracts do not have": """
        - name: a
          on entry: |
            emit("com.pay.charge", {"amount": 1, "notes": "x"}) # expect: unknown-field
          transitions:
            HANDLED
          on exit: complete(result=1, reason="x") # expect: unknown-field
        - name: end
          type: final
    """,
    "domains that are put together": """
        - name: a
          on entry: emit("com.pay.charge", {"amount": 1}, domains=[init["domain"]]) # expect: undeclared-domain
          transitions:
            HANDLED
        END
    """,
    "names that nothing defines": """
        - name: a
          on entry: |
            _twice = [one * 2 for one in range(total)]
            total = len(_twice) + totals # expect: undefined-name
          transitions:
            - event: evt.pay.success
              guard: event.data["amount"] > limit # expect: undefined-name
              target: end
        END
    """,
    "names that nothing defines, in a contract's conditions": """
        - name: a
          contract:
            - before: total == 0
            - always: total <= limit # expect: undefined-name
          transitions:
            - event: evt.pay.success
              target: end
              contract:
                - after: |
                    (total == __old__.total and
                      limit > 3) # expect: undefined-name
        END
    """,
    "conditions that never hold": """
        - name: a
          on entry: |
            if received("evt.pay.success"): # expect: always-false
              total += 1
          contract:
            - always: not sent("x") and not received("x")
          transitions:
            - event: evt.pay.success
              guard: received("evt.pay.success") # expect: always-false
              target: end
            - event: evt.pay.declined
              guard: sent("x") # expect: always-false
              target: end
            - event: sys.com.pay.charge.error
              action: total = 1 if sent("x") else 2
        END
    """,
    "sets in temporary names": """
        - name: a
          on entry: |
            _seen = set(init["names"])
            for _name in _seen: # expect: unordered-set
              total += 1
            _both = [*(_seen & set("ab"))] # expect: unordered-set
            _text = f"{_seen.union('c')}" # expect: unordered-set
            _mixed = set()
            _mixed = sorted(_mixed)
            _both = list(_mixed)
            _numbers = [one for one in {1, 2, 3}]
            _numbers = max(one for one in _seen)
            _rest = ",".join(init.keys() - _seen) # expect: unordered-set
            _one = {"a", "b"}
            for _one in ["a", "b"]:
              _both = list(_one)
            emit("com.pay.charge", {"amount": 1}, {"a", "b"}) # expect: unordered-set
          transitions:
            HANDLED
        END
    """,
    "sets that are gone through": """
        - name: a
          on entry: |
            _names = list({"b", "a"}) # expect: unordered-set
            _names = sorted({"b", "a"}) + [len(set(_names))]
            _names = [name for name in set(init["names"])] # expect: unordered-set
            _names = sorted(name for name in set(init["names"]))
            _names = ",".join({"b", "a"}) # expect: unordered-set
            for _name in {"b", "a"}: # expect: unordered-set
              total += 1
            _names = {name for name in {"b", "a"}}
          transitions:
            - event: evt.pay.success
              guard: any(name in init for name in {"a", "b"})
              target: end
        END
    """,
    "findings that comments switch off": """
        - name: a
          # The service never fails, and declines by a call.
          # check: ignore unhandled-system-error: it never fails
          # check: ignore unhandled-reply: it declines by a call
          on entry: emit("com.pay.charge", {"amount": 1})
          transitions:
            - event: evt.pay.success
              target: end
            - event: evt.pay.late # check: ignore unknown-event: comes with the next version
              target: end
        END
    """,
    "comments that are wrong": """
        - name: a
          transitions:
            - event: evt.pay.success # check: ignore unknown-event: it is known # expect: bad-ignore
              target: end
            - event: evt.pay.late # check: ignore unknown-event # expect: bad-ignore # expect: unknown-event
              target: end
            - event: evt.pay.later # check: ignore unknown-evnt: why # expect: bad-ignore # expect: unknown-event
              target: end
        END
    """,
}


@pytest.mark.parametrize("states", CASES.values(), ids=CASES.keys())
def test_finds_what_is_marked_and_nothing_else(states: str) -> None:
    made = machine(with_handlers(dedent(states)))
    assert findings(made) == expected(made)


def test_every_rule_has_a_case() -> None:
    marked = {rule for states in CASES.values() for rule in EXPECTED.findall(states)}
    assert set(RULES) - marked == {"set-up", "unused-domain"}


def test_a_chart_without_a_final_state_never_completes() -> None:
    made = machine("- name: a\n  transitions:\n    - event: evt.pay.success\n      target: a\n")
    rules = [rule for rule, _ in findings(made)]
    assert rules == ["no-way-to-end"]


def test_a_comment_at_the_top_stands_for_the_whole_chart() -> None:
    made = machine("- name: a\n- name: end\n  type: final\n")
    text = "# A sketch.\n# check: ignore dead-end: a sketch\n\n" + "\n".join(made.chart.positions.lines)
    assert ("dead-end", 8) in findings(made)
    made = setup_machine(contract=own.version("1.0.0"), statechart=text)
    assert [rule for rule, _ in findings(made)] == ["unreachable-state"]


def test_declared_domains_may_be_put_together() -> None:
    states = with_handlers(dedent(CASES["domains that are put together"]))
    assert findings(machine(states, domains=("priority",))) == []


def test_a_declared_domain_that_no_code_emits_to_is_found() -> None:
    states = with_handlers(dedent(CASES["a chart in order"]))
    assert findings(machine(states, domains=("external", "priority"))) == [("unused-domain", 5)]
    handed_on = states.replace('emit("com.pay.charge"', 'call(emit) or emit("com.pay.charge"')
    assert findings(machine(handed_on, domains=("external", "priority"))) == []


def test_a_finding_says_where_what_and_what_to_do() -> None:
    (finding,) = check_machine(
        machine(with_handlers(dedent(CASES["names that nothing defines"])).replace(" + totals", ""))
    )
    assert str(finding) == (
        "15: undefined-name: Nothing defines 'limit'. "
        "Name it in the preamble, write a function beside the chart, or correct it."
    )


@pytest.mark.parametrize(
    "name",
    [
        "an eventless loop",
        "an eventless transition without target or guard",
        "regions that can't both have an event",
        "transitions that clash",
        "an end without a completion",
    ],
)
def test_what_is_said_to_fail_fails(name: str) -> None:
    made = machine(with_handlers(dedent(CASES[name])))
    assert findings(made)
    program = SismicEngine().compile(made.chart)
    types = ("evt.pay.success", "evt.pay.declined")

    def run(type_: str) -> None:
        result = program.resume(program.start(step_input(own.type)).snapshot, step_input(type_))
        made.outputs["arvo.orc.shop.done"].schema.validate(result.snapshot.output or {})

    assert any(_fails(run, type_) for type_ in types)


def _fails(run: Callable[[str], None], type_: str) -> bool:
    try:
        run(type_)
    except (ExecutionFailure, InvalidDataError):
        return True
    return False
