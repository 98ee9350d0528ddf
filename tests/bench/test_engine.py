"""The engines' bench measures every engine on both loads."""

import pytest

from tests.bench.engine import deep_load, measured, order_load


@pytest.mark.parametrize("load", [order_load, deep_load])
def test_every_engine_is_measured(load: object) -> None:
    assert callable(load)
    micros = measured(load(), rounds=1)
    assert list(micros) == [
        "sismic's interpreter",
        "the same, its code compiled once",
        "CompiledInterpreter",
        "engine on sismic",
        "compiled engine",
    ]
    assert all(value > 0 for value in micros.values())
