"""Every vector of the formats that are run is a test of its own."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vectors import cases as cases_module
from tests.vectors.__main__ import main
from tests.vectors.cases import Case, expect_equal, expect_refused
from tests.vectors.harness import COPY, cases_of, reason_to_skip, run, vectors_folder
from tests.vectors.skipped import SKIPPED, SKIPPED_FILES
from tests.vectors.xstate_tree import NoCounterpartError


def _parameters() -> Iterator[object]:
    for path in sorted(vectors_folder().glob("*.json")):
        for case in cases_of(path) or ():
            if reason_to_skip(path, case) is None:
                yield pytest.param(case, id=f"{path.stem}-{case.section}-{case.title}")


@pytest.mark.parametrize("case", list(_parameters()))
def test_vector(case: Case) -> None:
    case.check()


def test_every_skipped_vector_exists() -> None:
    known = {(path.name, case.section, case.title) for path in COPY.glob("*.json") for case in cases_of(path) or ()}
    assert SKIPPED.keys() <= known


@pytest.mark.parametrize("name", sorted(SKIPPED_FILES))
def test_every_skipped_file_would_fail(name: str) -> None:
    for case in cases_of(COPY / name) or ():
        with pytest.raises((AssertionError, NoCounterpartError)):
            case.check()


def test_a_vector_that_is_wrong_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (COPY / "subject.json").read_text(encoding="utf-8")
    wrong = text.replace('"initiator": "com.test.user"', '"initiator": "com.test.other"', 1)
    (tmp_path / "subject.json").write_text(wrong, encoding="utf-8")
    assert run(tmp_path).failed == 1
    assert "FAILED subject.json [create] minimal" in capsys.readouterr().out


def test_a_file_of_an_unknown_format_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(COPY / "setup.json", tmp_path)
    monkeypatch.setenv("VECTORS_DIR", str(tmp_path))
    assert main() == 0
    (tmp_path / "other.json").write_text('{"format": "arvo-other/1"}', encoding="utf-8")
    assert main() == 1


def test_what_is_compared_is_compared_as_json() -> None:
    expect_equal({"a": 1.0, "b": (1, 2)}, {"b": [1, 2], "a": 1})
    for actual, expected in ((True, 1), (None, 0), ("1", 1), ({}, [])):
        with pytest.raises(AssertionError):
            expect_equal(actual, expected)


def test_what_is_accepted_is_not_refused() -> None:
    with pytest.raises(AssertionError, match="accepted"):
        expect_refused(lambda: 1)


def test_javascript_values_without_counterpart_are_no_values() -> None:
    with pytest.raises(LookupError):
        cases_module.from_javascript({"a": [{"$js": "undefined"}]})
