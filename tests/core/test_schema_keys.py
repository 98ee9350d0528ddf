"""Which keys a model reads, told without data: what checks of literal data rest on."""

from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, RootModel
from pydantic import model_validator as validates

from worker.core.schema_findings import ObjectKeys
from worker.core.schemas import Schema


class Plain(BaseModel):
    a: int
    b: int | None
    c: Annotated[int, BeforeValidator(int)] = 3
    d: list["Plain"] = []


class Named(BaseModel):
    model_config = ConfigDict(extra="allow", validate_by_name=True, validate_by_alias=True)
    a: int = Field(alias="aa")
    b: int = Field(alias="bb", default=1)

    @validates(mode="after")
    def _fits(self) -> "Named":
        return self


class Chosen(BaseModel):
    a: int = Field(validation_alias=AliasChoices("x", "a"), serialization_alias="a")


class Seen(BaseModel):
    a: int

    @validates(mode="before")
    @classmethod
    def _given(cls, data: Any) -> Any:
        return {"a": 1, **data}


class Rows(RootModel[dict[str, int]]):
    pass


def keys(*required: set[str], others: str = "", takes_others: bool = False) -> ObjectKeys:
    sets = tuple(map(frozenset, required))
    return ObjectKeys(frozenset(others.split()).union(*sets), sets, takes_others)


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        (Plain, keys({"a"}, {"b"}, others="c d")),
        (Named, keys({"a", "aa"}, others="b bb", takes_others=True)),
        (Chosen, keys({"x", "a"})),
        (Annotated[Plain, AfterValidator(lambda one: one)], keys({"a"}, {"b"}, others="c d")),
        (Annotated[Plain, BeforeValidator(lambda one: one)], None),
        (Seen, None),
        (Rows, None),
        (dict[str, int], None),
        (Plain | Named, None),
    ],
)
def test_keys(declared: Any, expected: ObjectKeys | None) -> None:
    assert Schema(declared).keys() == expected
