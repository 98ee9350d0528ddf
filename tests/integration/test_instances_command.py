"""`worker instances` on PostgreSQL: what is listed, shown, exported and explained of what a worker left there."""

import json
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import psycopg
import pytest

from machines.order import machine as order_machine
from tests.acceptance.commands import run_here
from tests.integration.played import SHOP, Played, answer, event_of, order_subject, started
from tests.servers.postgres import Databases
from worker.core.digests import subject_digest
from worker.core.events import event_to_json
from worker.core.json import dumps
from worker.core.outcomes import Advanced, Failed, Unexpected

RESERVED = "evt.inventory.reserve.success"
APPROVED = "evt.approval.request.success"


@pytest.fixture(scope="module")
def played(request: pytest.FixtureRequest) -> Iterator[tuple[str, Played]]:
    """Play three orders: the first waits for an approval, the second is its child, the third has ended."""
    databases = Databases(request.getfixturevalue("postgres_url"))
    url = databases.make(request.getfixturevalue("migrated_template"))
    play = Played(url, [order_machine])
    reserve(play, 1)
    play.take(event_of(order_subject(1), RESERVED, {"total": 5, "warehouse": "w"}, "com.inventory.reserve", "late-1"))
    reserve(play, 2, **{"parentSubject$$": order_subject(1)})
    approved = reserve(play, 3)
    refused = play.take(answer(approved, APPROVED, {"approved": False, "by": "boss"}, "no-3"))
    assert isinstance(refused, Advanced)
    play.database.close()
    yield url, play
    databases.drop_all()


def reserve(play: Played, number: int, **data: Any) -> Any:
    """Start an order and have it reserved; give its request for an approval."""
    begun = play.take(started(number, **data))
    assert isinstance(begun, Advanced), begun
    request = begun.emitted[0].event
    reserved = play.take(answer(request, RESERVED, {"total": 40, "warehouse": "w"}, f"reserved-{number}"))
    assert isinstance(reserved, Advanced), reserved
    return reserved.emitted[0].event


@pytest.fixture
def url(played: tuple[str, Played]) -> str:
    return played[0]


def command(url: str, *arguments: str, stdin: str = "") -> CompletedProcess[str]:
    given = {"WORKER_DATABASE_URL": url, "WORKER_MACHINES": "machines.order"}
    return run_here("instances", *arguments, given=given, stdin=stdin)


def listed(url: str, *arguments: str) -> list[dict[str, Any]]:
    done = command(url, "list", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def shown(url: str, named: str) -> dict[str, Any]:
    done = command(url, "show", named, "--json")
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def executions(rows: list[dict[str, Any]]) -> list[int]:
    return [int(row["execution"][:8], 16) for row in rows]


# The list


def test_the_newest_stand_first_and_all_that_is_known_is_there(url: str) -> None:
    rows = listed(url)
    assert executions(rows) == [3, 2, 1]
    first = rows[2]
    assert first["subject"] == order_subject(1)
    assert first["id"] == subject_digest(order_subject(1)).hex()[:12]
    assert (first["machine"], first["version"], first["status"]) == ("arvo.orc.order", "1.0.0", "active")
    assert (first["states"], first["revision"], first["ended_at"]) == (["order", "approving"], 2, None)
    assert rows[1]["parent_subject"] == order_subject(1)
    assert rows[0]["ended_at"] is not None


def test_a_table_is_for_people_and_has_no_colours_in_a_pipe(url: str) -> None:
    done = command(url, "list", "--limit", "2")
    heads, newest, second = done.stdout.splitlines()
    assert heads.split() == ["ID", "INSTANCE", "VERSION", "STATUS", "STATES", "STEPS", "STARTED", "LAST", "STEP"]
    assert newest.split()[1:6] == ["order", "00000003", "1.0.0", "done", "-"]
    assert second.split()[1:7] == ["order", "00000002", "1.0.0", "active", "approving", "2"]
    assert second.endswith(" ago")
    assert "\x1b" not in done.stdout
    assert done.stderr.startswith("2 instances; there are more: --after ")


def test_pages_follow_each_other_without_gap_or_double(url: str) -> None:
    page = listed(url, "--limit", "1")
    found = list(page)
    for _ in range(3):
        page = listed(url, "--limit", "1", "--after", page[-1]["cursor"])
        found += page
    assert page == []
    assert executions(found) == [3, 2, 1]
    assert command(url, "list", "--after", "x").returncode == 2


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        (["--machine", "order"], [3, 2, 1]),
        (["--machine", "arvo.orc.order", "--version", "2.0.0"], []),
        (["--machine", "trip"], []),
        (["--status", "done"], [3]),
        (["--status", "done", "--status", "active"], [3, 2, 1]),
        (["--state", "approving"], [2, 1]),
        (["--since", "1h"], [3, 2, 1]),
        (["--until", "1h"], []),
        (["--stuck", "1h"], []),
        (["--stuck", "2100-01-01"], [2, 1]),
    ],
)
def test_options_narrow_the_list_and_the_export(url: str, options: list[str], numbers: list[int]) -> None:
    assert executions(listed(url, *options)) == numbers
    exported = [json.loads(line) for line in command(url, "export", *options).stdout.splitlines()]
    assert sorted(executions(exported)) == sorted(numbers)


def test_what_can_t_be_meant_is_refused(url: str) -> None:
    for arguments, text in (
        (["list", "--status", "gone"], "there are: active, done, cancelled"),
        (["list", "--since", "soon"], "--since: expected a time"),
        (["show", "ffffffffffff"], "there is no instance ffffffffffff"),
        (["show", "000"], "too short"),
        (["show", "0000"], "names more than one instance: "),
        (["show", order_subject(9)], "there is no instance"),
    ):
        done = command(url, *arguments)
        assert done.returncode == 2, done.stdout
        assert text in done.stderr


def test_an_export_has_the_snapshots_as_they_are_stored(url: str) -> None:
    rows = [json.loads(line) for line in command(url, "export", "--state", "approving").stdout.splitlines()]
    assert {row["snapshot"]["context"]["total"] for row in rows} == {40}
    assert [row["id"] for row in rows] == sorted(row["id"] for row in rows)


# One


@pytest.mark.parametrize(
    "named", [order_subject(1), subject_digest(order_subject(1)).hex()[:12], "00000001", "00000001-0000-4000-8000"]
)
def test_an_instance_is_named_by_its_subject_id_or_execution(url: str, named: str) -> None:
    assert shown(url, named)["subject"] == order_subject(1)


def test_where_it_stands_and_what_it_waits_for(url: str) -> None:
    document = shown(url, "00000001")
    assert document["places"] == [["order", "approving"]]
    assert document["waits_for"] == [
        {
            "event": APPROVED,
            "state": "approving",
            "target": "charging",
            "guard": 'event.data["approved"]',
        },
        {
            "event": APPROVED,
            "state": "approving",
            "target": "rejected",
            "guard": 'not event.data["approved"]',
        },
        {"event": "sys.com.approval.request.error", "state": "approving", "target": "failed", "guard": None},
    ]
    (request,) = document["unanswered"]
    assert (request["entry"], request["type"]) == (2, "com.approval.request")
    assert request["topics"] == ["orchestrator.external"]
    assert document["context"]["visited"] == ["reserving", "approving"]


def test_what_has_ended_waits_for_nothing(url: str) -> None:
    document = shown(url, "00000003")
    assert (document["waits_for"], document["unanswered"], document["places"]) == ([], [], [])
    assert document["output"]["status"] == "rejected"


def test_family_and_history_have_their_causes(url: str) -> None:
    document = shown(url, "00000001")
    assert [child["subject"] for child in document["children"]] == [order_subject(2)]
    assert [one["subject"] for one in shown(url, "00000002")["ancestors"]] == [order_subject(1)]
    first, second, late = document["history"]
    assert (first["type"], first["source"], first["answers"], first["outcome"]) == (
        "arvo.orc.order",
        SHOP,
        None,
        "advanced",
    )
    assert [one["event"]["type"] for one in first["emitted"]] == ["com.inventory.reserve"]
    assert (second["type"], second["answers"]) == (RESERVED, 1)
    assert (second["states_before"], second["states_after"]) == (["order", "reserving"], ["order", "approving"])
    assert (late["outcome"], late["event"]["id"]) == ("unexpected", "late-1")


def test_all_of_it_as_text(url: str) -> None:
    done = command(url, "show", "00000001")
    text = " ".join(done.stdout.split())
    for part in (
        "instance order 00000001, id ",
        "machine arvo.orc.order 1.0.0 status active stands in order > approving",
        f'{APPROVED} approving → charging if event.data["approved"]',
        "com.approval.request to orchestrator.external",
        "total 40",
        "family order 00000001",
        "└─ order 00000002",
        "com.inventory.reserve → orchestrator.default",
        "com.inventory.reserve, answers #1 advanced reserving → approving",
    ):
        assert part in text


def test_without_its_machine_an_instance_is_shown_all_the_same(url: str) -> None:
    given = {"WORKER_DATABASE_URL": url, "WORKER_MACHINES": "machines.saga"}
    done = run_here("instances", "show", "00000001", given=given)
    assert done.returncode == 0, done.stderr
    assert "WORKER_MACHINES has no arvo.orc.order 1.0.0" in done.stdout
    assert "stands in  order > approving" in done.stdout
    drawn = run_here("instances", "show", "00000001", "--graph", given=given)
    assert drawn.returncode == 2
    assert "can't be drawn" in drawn.stderr


def test_its_chart_is_drawn_with_its_states_set_off(url: str, tmp_path: Path) -> None:
    drawn = command(url, "show", "00000001", "--graph").stdout
    assert drawn.splitlines()[-1].strip() == "class approving active"
    file = tmp_path / "order.svg"
    assert command(url, "show", "00000001", "--graph", "--format", "svg", "--output", str(file)).returncode == 0
    assert "<title>approving (active)</title>" in file.read_text()


def test_history_has_a_line_for_each_record(url: str) -> None:
    lines = [json.loads(line) for line in command(url, "history", "00000003", "--json").stdout.splitlines()]
    assert [line["number"] for line in lines] == [1, 2, 3]
    assert lines[2]["emitted"][0]["event"]["type"] == "arvo.orc.order.done"
    newest = command(url, "history", "00000003", "--limit", "1")
    assert "no-3" not in newest.stdout
    assert APPROVED in newest.stdout
    assert "--limit shows more than the newest 1" in newest.stderr


# What would be


def explained(url: str, named: str, event: object) -> dict[str, Any]:
    done = command(url, "explain", named, "--event", "-", "--json", stdin=dumps(event).decode())
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def stored(url: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return [
            *connection.execute("SELECT subject, revision, snapshot FROM instances ORDER BY 1"),
            *connection.execute("SELECT count(*) FROM journal"),
            *connection.execute("SELECT partition, next_offset FROM positions"),
        ]


def test_an_event_is_explained_guard_by_guard_and_nothing_is_done(url: str) -> None:
    before = stored(url)
    told = explained(url, "00000001", {"type": APPROVED, "data": {"approved": False, "by": "boss"}})
    assert (told["outcome"], told["status"], told["notes"]) == ("advanced", "done", [])
    (one,) = told["rounds"]
    assert [(way["target"], way["verdict"]) for way in one["transitions"]] == [
        ("charging", "false"),
        ("rejected", "taken"),
    ]
    assert one["transitions"][0]["guard"] == 'event.data["approved"]'
    first = one["steps"][0]
    assert (first["exited"], first["entered"]) == (["approving"], ["rejected"])
    (emitted,) = told["emits"]
    assert (emitted["topics"], emitted["event"]["type"]) == (["orchestrator.default"], "arvo.orc.order.done")
    assert emitted["event"]["to"] == SHOP
    assert told["context"]["visited"]["after"] == ["reserving", "approving", "rejected"]
    assert stored(url) == before


def test_what_is_explained_is_what_happens(migrated_database_url: str) -> None:
    play = Played(migrated_database_url, [order_machine])
    request = reserve(play, 1)
    play.database.close()
    for event in (
        event_of(order_subject(1), RESERVED, {"total": 5, "warehouse": "w"}, "com.inventory.reserve", "again"),
        event_of(order_subject(1), APPROVED, {"approved": "?"}, "com.approval.request", "wrong"),
        answer(request, APPROVED, {"approved": True, "by": "boss"}, "yes"),
    ):
        told = explained(migrated_database_url, order_subject(1), event_to_json(event))
        done = play.take(event)
        play.database.close()
        match done:
            case Advanced():
                assert told["outcome"] == "advanced"
                assert told["states_after"] == list(done.instance.snapshot.configuration)
                ids = [one.event.id for one in done.emitted]
                assert [one["event"]["id"] for one in told["emits"]] == ids
            case Unexpected():
                assert (told["outcome"], told["expected"]) == ("unexpected", list(done.expected))
                assert [one["transitions"] for one in told["rounds"]] == [[]]
            case Failed():
                assert (told["outcome"], told["error_message"]) == ("failed", done.error_message)
                assert told["emits"][0]["event"]["type"] == "sys.arvo.orc.order.error"
            case _:
                pytest.fail(f"not expected: {done}")


def test_what_the_journal_knows_counts(url: str) -> None:
    known = event_of(order_subject(1), RESERVED, {"total": 5, "warehouse": "w"}, "com.inventory.reserve", "late-1")
    assert explained(url, "00000001", event_to_json(known))["outcome"] == "duplicate"
    other = event_to_json(known) | {"data": {"total": 6, "warehouse": "w"}}
    assert explained(url, "00000001", other)["reason"] == "ID_CONFLICT"
    assert explained(url, "00000003", {"type": APPROVED, "data": {}})["reason"] == "ENDED"
    assert explained(url, order_subject(7), {"type": APPROVED, "data": {}})["reason"] == "NO_INSTANCE"


def test_a_start_is_explained_too(url: str) -> None:
    told = explained(url, order_subject(7), event_to_json(started(7)))
    assert (told["outcome"], told["states_after"]) == ("advanced", ["order", "reserving"])
    assert told["rounds"][0]["steps"][1] == {
        "exited": [],
        "entered": ["reserving"],
        "emitted": ["com.inventory.reserve"],
        "sent": [],
    }


def test_an_explanation_as_text(url: str, tmp_path: Path) -> None:
    file = tmp_path / "event.json"
    file.write_text(json.dumps({"type": APPROVED, "data": {"approved": True, "by": "boss"}}))
    text = " ".join(command(url, "explain", "00000001", "--event", str(file)).stdout.split())
    for part in (
        "outcome advanced states approving → charging, active",
        f'{APPROVED} approving → charging [event.data["approved"]] taken',
        'approving → rejected [not event.data["approved"]] its guard is false',
        "leaves approving; enters charging; emits com.payment.charge",
        "would emit com.payment.charge to orchestrator.default",
        'would change approved_by null → "boss"',
        "Nothing was done.",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("event", "text"),
    [
        ("{", "no JSON"),
        ("[]", "expected one event"),
        ('{"data": {}}', "expected one event"),
        ('{"type": "x"}', "the event is none: "),
        ('{"type": "a.b.c", "subject": "y"}', "for another instance"),
    ],
)
def test_what_is_no_event_for_it_is_refused(url: str, event: str, text: str) -> None:
    done = command(url, "explain", "00000001", "--event", "-", stdin=event)
    assert done.returncode == 2, done.stdout
    assert text in done.stderr
