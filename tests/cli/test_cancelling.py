"""`worker instances cancel`: what is refused before anything is looked for."""

import pytest

from tests.acceptance.commands import run_here


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("a", "--children", "--wait", "0"), "--children goes by what workers have done"),
        (("a", "b", "--at-step", "2"), "--at-step is about one instance"),
        (("a", "--at-step", "2", "--children"), "--at-step is about one instance"),
        (("a", "--reason", "x" * 1_001), "--reason or --by can't be sent"),
        (("a", "--by", "x" * 257), "--reason or --by can't be sent"),
        (("a", "--reason", "\ud800"), "--reason or --by can't be sent"),
    ],
)
def test_a_wish_that_can_not_be_is_refused(arguments: tuple[str, ...], why: str) -> None:
    done = run_here("instances", "cancel", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {why}")
