"""The pages that are made from the code are what the code says now; `make reference` writes them anew."""

import inspect
import re

import pytest

import worker
import worker.testing
from tests.acceptance.commands import ROOT
from tests.docs.reference import PAGES
from worker.adapters.telemetry.metrics import METRICS
from worker.settings import Settings

FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_what_the_code_says(name: str) -> None:
    assert (ROOT / name).read_text() == PAGES[name](), "run `make reference`"


def test_every_metric_is_on_its_page() -> None:
    text = PAGES["docs/reference-metrics.md"]()
    for metric in METRICS:
        assert f"## `{metric.prometheus_name}`\n" in text
        assert f"`{metric.name}`, {metric.kind.value}" in text
        assert metric.remedy in text


def test_every_setting_is_on_its_page() -> None:
    text = PAGES["docs/reference-settings.md"]()
    for name, field in Settings.model_fields.items():
        assert f"| `WORKER_{name.upper()}` | " in text or name == "kafka_properties"
        assert str(field.description).partition("<")[0] in text


@pytest.mark.parametrize("name", [*worker.__all__, *worker.testing.__all__])
def test_every_public_name_is_told_of_in_its_own_words(name: str) -> None:
    text = PAGES["docs/reference-api.md"]()
    own = text.partition(f"### `{name}`\n")[2].partition("\n### ")[0]
    told = [paragraph for paragraph in FENCE.sub("", own).split("\n\n") if paragraph.strip()]
    assert told, f"{name} has no docstring"


@pytest.mark.parametrize("name", worker.__all__)
def test_every_public_method_is_told_of(name: str) -> None:
    value = getattr(worker, name)
    for method, function in vars(value).items() if inspect.isclass(value) else ():
        if not method.startswith("_") and inspect.isfunction(function):
            assert inspect.getdoc(function), f"{name}.{method}"
