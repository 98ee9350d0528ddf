from datetime import date
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import MISSING, AliasChoices, AliasPath, BaseModel, ConfigDict, Field, RootModel, field_validator

from worker.core.contracts import (
    SYSTEM_ERROR_SCHEMA,
    Contract,
    Number,
    Schema,
    create_contract,
    create_orchestrator_contract,
    create_simple_contract,
)
from worker.core.errors import InvalidDataError, SetupError
from worker.core.factories import emits_event
from worker.core.json import loads


class Line(BaseModel):
    sku: str
    count: int


class Order(BaseModel):
    id: str
    total: float = 0.0
    lines: list[Line] = []
    note: str | MISSING = MISSING
    due: date | None = None
    customer_name: Annotated[str | None, Field(alias="customerName")] = None


class Amount(BaseModel):
    value: Number


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")
    value: int


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")


class Card(BaseModel):
    kind: Literal["card"]
    number: str


class Cash(BaseModel):
    kind: Literal["cash"]


class Payment(BaseModel):
    means: Annotated[Card | Cash, Field(discriminator="kind")]
    ids: list[UUID] = []


class Checked(BaseModel):
    value: str

    @field_validator("value")
    @classmethod
    def refuse(cls, value: str) -> str:
        if value == "crash":
            raise KeyError(value)
        if value == "exit":
            raise SystemExit(value)
        message = f"{value} is not wanted"
        raise ValueError(message)


def order_contract() -> Contract:
    return create_contract(
        uri="#/order",
        type="com.order.create",
        description="""
            Takes an order.

            Answers once.
        """,
        versions={
            "1.10.0": {"accepts": Order, "emits": {"evt.order.created": Order}},
            "1.9.0": {"accepts": Order, "emits": {}},
        },
    )


def paths(schema: Schema, data: dict[str, Any]) -> tuple[tuple[str | int, ...], ...]:
    with pytest.raises(InvalidDataError) as caught:
        schema.validate(data)
    assert not schema.is_valid(data)
    return caught.value.paths


def test_defaults_are_filled_in_and_what_is_unlisted_is_stripped() -> None:
    assert Schema(Order).validate({"id": "1", "more": 1}) == {
        "id": "1",
        "total": 0.0,
        "lines": [],
        "due": None,
        "customerName": None,
    }


def test_unlisted_keys_are_treated_as_the_model_says() -> None:
    assert Schema(Open).validate({"a": {"b": 1}}) == {"a": {"b": 1}}
    assert paths(Schema(Strict), {"value": 1, "more": 1}) == (("more",),)


def test_data_keeps_its_wire_form() -> None:
    data = {"id": "1", "total": 1.5, "lines": [], "note": "x", "due": "2024-01-15", "customerName": "a"}
    assert Schema(Order).validate(data) == data


@pytest.mark.parametrize("value", [1, -(2**63), 9_007_199_254_740_993])
@pytest.mark.parametrize(("model", "key"), [(Amount, "value"), (Order, "total")])
def test_integers_stay_integers(value: int, model: type[BaseModel], key: str) -> None:
    data = Schema(model).validate({"id": "1", key: value})
    assert data[key] == value
    assert isinstance(data[key], int)


@pytest.mark.parametrize("value", ["5", True, None, [], float("nan"), float("inf"), 2**64])
@pytest.mark.parametrize(("model", "key"), [(Amount, "value"), (Order, "total"), (Strict, "value")])
def test_only_numbers_are_numbers(value: object, model: type[BaseModel], key: str) -> None:
    assert not Schema(model).is_valid({"id": "1", key: value})


def test_places_of_faults_are_named_in_the_data_own_terms() -> None:
    schema = Schema(Order)
    assert paths(schema, {"lines": [{"sku": "a", "count": "1"}, {"count": 1}], "customerName": 5}) == (
        ("id",),
        ("lines", 0, "count"),
        ("lines", 1, "sku"),
        ("customerName",),
    )
    assert paths(Schema(Amount), {"value": "5"}) == (("value",),)
    assert paths(Schema(Payment), {"means": {"kind": "card"}}) == (("means", "number"),)
    assert paths(Schema(Payment), {"means": {"kind": "other"}}) == (("means",),)


def test_what_is_no_json_is_no_data() -> None:
    assert paths(Schema(Open), {"a": {1, 2}}) == ((),)
    assert Schema(Payment).validate({"means": {"kind": "cash"}, "ids": [str(UUID(int=1))]})["ids"] == [str(UUID(int=1))]


class Doubled(BaseModel):
    values: list[float]

    @field_validator("values")
    @classmethod
    def turned(cls, values: list[float]) -> list[float]:
        return values[::-1]


def test_integers_are_put_back_where_they_are_the_same_number() -> None:
    assert Schema(Doubled).validate({"values": [3, 0.5]}) == {"values": [0.5, 3.0]}


class Measured(BaseModel):
    one: float
    many: list[dict[str, float | str]] = []
    any: Any = None


LARGE = st.sampled_from([0, 1, 10**15, 10**16, 10**17, -(10**18), 10**19, 2**53 + 1, 2**63, -(2**63), 2**64 - 1])
MEASURES = (
    LARGE | LARGE.map(float) | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
)


@given(MEASURES, st.lists(st.dictionaries(st.sampled_from("ab"), MEASURES | st.just("1.0"))), MEASURES, st.booleans())
def test_a_glance_finds_all_integers_to_be_put_back(
    one: float, many: list[dict[str, float | str]], other: float, reverse: bool
) -> None:
    sent = {"one": one, "many": many, "any": other}
    data = dict(reversed(sent.items())) if reverse else sent
    at_a_glance = repr(Schema(Measured).validate(data))
    assert at_a_glance == repr(sent)
    assert loads(Schema(Measured).validated(data)[1]) == sent
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("worker.core.schemas._may_hold_integers", lambda _: True)
        assert repr(Schema(Measured).validate(data)) == at_a_glance


class Unordered(BaseModel):
    inner: dict[str, list[frozenset[str]]] = {}


class ReadOtherwise(BaseModel):
    name: str = Field(validation_alias="given")


class WrittenOtherwise(BaseModel):
    name: str = Field(serialization_alias="given")


class ReadByEither(BaseModel):
    model_config = ConfigDict(validate_by_name=True)
    name: str = Field(validation_alias="given")
    other: str = Field(validation_alias=AliasChoices("other", AliasPath("others", 0)), serialization_alias="other")


class Later(BaseModel):
    other: "Never"  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (Unordered, "The schema Unordered has a set, whose members stand in another order"),
        (list[Unordered], "has a set"),
        (ReadOtherwise, "The schema ReadOtherwise writes its field 'name' as 'name', and does not read it so"),
        (WrittenOtherwise, "writes its field 'name' as 'given', and does not read it so"),
        (Later, "not fully defined"),
    ],
)
def test_a_schema_that_would_not_give_the_same_json_everywhere_is_refused(model: Any, text: str) -> None:
    with pytest.raises(SetupError, match=text):
        Schema(model)


def test_a_field_may_be_read_by_several_names_if_it_is_written_as_one_of_them() -> None:
    assert Schema(ReadByEither).validate({"given": "a", "others": ["b"]}) == {"name": "a", "other": "b"}


@pytest.mark.parametrize("value", ["secret", "crash", "exit"])
def test_a_check_of_the_model_refuses_without_telling_data(value: str) -> None:
    with pytest.raises(InvalidDataError) as caught:
        Schema(Checked).validate({"value": value})
    assert value not in str(caught.value)


def test_what_is_reported_is_bounded() -> None:
    with pytest.raises(InvalidDataError, match="and 80 more") as caught:
        Schema(Order).validate({"id": "1", "lines": [{"sku": "a", "count": "1"}] * 100})
    assert len(caught.value.paths) == 20


def test_a_schema_is_made_of_a_model() -> None:
    with pytest.raises(SetupError, match="expected a class derived from BaseModel"):
        Schema(object())
    with pytest.raises(InvalidDataError, match="no object"):
        Schema(list[int] | Open).validate([1])  # type: ignore[arg-type]


def test_versions_stand_in_their_order() -> None:
    contract = order_contract()
    assert list(contract.versions) == ["1.9.0", "1.10.0"]
    assert contract.version("latest").version == "1.10.0"
    assert contract.version("oldest").dataschema == "#/order/1.9.0"
    assert contract.description == "Takes an order.\nAnswers once."
    with pytest.raises(SetupError, match=r"no version 2\.0\.0; it has 1\.9\.0, 1\.10\.0"):
        contract.version("2.0.0")


def test_the_system_error_is_a_reply_of_every_contract() -> None:
    version = order_contract().version("latest")
    assert list(version.replies) == ["evt.order.created", "sys.com.order.create.error"]
    assert version.replies[version.system_error_type] is SYSTEM_ERROR_SCHEMA
    assert version.system_error_dataschema == "#/order/0.0.0"
    assert not version.is_orchestrator


def test_an_orchestrator_takes_the_parent_subject() -> None:
    contract = create_orchestrator_contract(
        uri="#/orc/order", name="order", versions={"1.0.0": {"init": Order, "complete": Amount}}
    )
    version = contract.version("1.0.0")
    assert version.is_orchestrator
    assert version.complete_type == "arvo.orc.order.done"
    assert version.accepts.validate({"parentSubject$$": None, "id": "1"})["parentSubject$$"] is None
    assert paths(version.accepts, {"parentSubject$$": ""}) == (("id",), ("parentSubject$$",))
    assert "parentSubject$$" not in Schema(Order).validate({"id": "1", "parentSubject$$": "x"})


def test_json_schemas_are_json() -> None:
    described = create_simple_contract(
        uri="#/pay", type="pay.card", versions={"1.0.0": {"accepts": Payment, "emits": Amount}}
    ).json_schema()
    assert described["versions"][0]["emits"][0]["type"] == "evt.pay.card.success"
    assert loads(str(described).replace("'", '"').replace("None", "null")) == described


def test_a_contract_put_together_wrongly_is_refused() -> None:
    sides = {"accepts": Order, "emits": {}}
    with pytest.raises(SetupError, match="has accepts; expected accepts and emits"):
        create_contract(uri="#/a", type="com.a.b", versions={"1.0.0": {"accepts": Order}})
    with pytest.raises(SetupError, match="expected a mapping of types"):
        create_contract(uri="#/a", type="com.a.b", versions={"1.0.0": {"accepts": Order, "emits": Order}})
    with pytest.raises(SetupError, match="expected three numbers"):
        create_contract(uri="#/a", type="com.a.b", versions={"1.0": sides})
    with pytest.raises(SetupError, match="kept as the wildcard"):
        create_contract(uri="#/a", type="com.a.b", versions={"00.0.0": sides})
    with pytest.raises(SetupError, match="kept for orchestrators"):
        create_contract(uri="#/a", type="arvo.orc.b", versions={"1.0.0": sides})
    with pytest.raises(SetupError, match="no Pydantic model"):
        create_orchestrator_contract(uri="#/a", name="b", versions={"1.0.0": {"init": dict, "complete": Order}})
    with pytest.raises(SetupError, match="no Pydantic model with fields"):
        create_orchestrator_contract(
            uri="#/a", name="b", versions={"1.0.0": {"init": RootModel[dict[str, int]], "complete": Order}}
        )


def test_a_contract_emits_only_its_own_types() -> None:
    attributes = {"id": "1", "time": "2024-01-15T12:34:56Z", "source": "com.order.create", "type": "evt.other.thing"}
    with pytest.raises(SetupError, match=r"does not emit evt\.other\.thing; it emits evt\.order\.created"):
        emits_event(order_contract().version("latest"), attributes, execution_id="1")
