"""What is made quickly is what the class itself makes."""

import copy
import pickle
from dataclasses import FrozenInstanceError, dataclass, field, replace

import pytest

from worker.core.frozen import maker_of


@dataclass(frozen=True, slots=True)
class Thing:
    name: str
    size: int = 1
    parts: list[str] = field(default_factory=list)

    @property
    def told(self) -> str:
        return f"{self.name} of {self.size}"


MADE = maker_of(Thing)


@pytest.mark.parametrize(
    ("made", "other"),
    [
        (MADE("a"), Thing("a")),
        (MADE("a", 2), Thing("a", 2)),
        (MADE("a", 2, ["b"]), Thing("a", 2, ["b"])),
        (MADE("a", parts=["b"]), Thing("a", parts=["b"])),
    ],
)
def test_the_value_is_the_same(made: Thing, other: Thing) -> None:
    assert type(made) is Thing
    assert made == other
    assert (repr(made), made.told) == (repr(other), other.told)
    assert replace(made, size=3) == replace(other, size=3)
    assert copy.deepcopy(made) == pickle.loads(pickle.dumps(made)) == other  # noqa: S301 - our own bytes.


def test_it_is_frozen() -> None:
    made = MADE("a")
    with pytest.raises(FrozenInstanceError):
        made.size = 2  # type: ignore[misc]
    with pytest.raises((AttributeError, TypeError)):
        made.other = 2  # type: ignore[attr-defined]
    assert made == Thing("a")


def test_a_default_is_made_anew() -> None:
    assert MADE("a").parts is not MADE("b").parts


def test_arguments_are_checked() -> None:
    with pytest.raises(TypeError):
        MADE()  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        MADE("a", other=1)  # type: ignore[call-arg]


@dataclass(frozen=True, slots=True)
class Checking:
    name: str

    def __post_init__(self) -> None:
        assert self.name


def test_a_class_that_does_more_than_set_its_fields_is_refused() -> None:
    with pytest.raises(AssertionError, match="nothing but the fields"):
        maker_of(Checking)
