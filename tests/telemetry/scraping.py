"""What a scraper reads: samples by name and labels."""

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

HTTP_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Scraped:
    """One scrape: each sample's value by its name and labels, and the names of the families."""

    samples: dict[tuple[str, frozenset[tuple[str, str]]], float]
    families: set[str]

    def value(self, name: str, **labels: str) -> float | None:
        """Add up the samples that have these labels; None if there are none."""
        asked = set(labels.items())
        found = [value for (sample, has), value in self.samples.items() if sample == name and asked <= has]
        return sum(found) if found else None

    def series(self, name: str) -> list[dict[str, str]]:
        """Give the labels of each sample of a name."""
        return [dict(labels) for sample, labels in self.samples if sample == name]

    def by(self, name: str, label: str) -> dict[str, float]:
        """Give the samples of a name by one label."""
        found: dict[str, float] = {}
        for (sample, labels), value in self.samples.items():
            if sample == name:
                key = dict(labels).get(label, "")
                found[key] = found.get(key, 0.0) + value
        return found


def scraped(text: str) -> Scraped:
    families = list(text_string_to_metric_families(text))
    samples = {
        (sample.name, frozenset(sample.labels.items())): float(sample.value)
        for family in families
        for sample in family.samples
    }
    # The parser takes the suffix off a counter's name.
    names = {f"{one.name}_total" if one.type == "counter" else one.name for one in families}
    return Scraped(samples, names)


def get(port: int, path: str) -> tuple[int, str]:
    """Give status and body."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=HTTP_SECONDS) as answer:
            return int(answer.status), answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def probe(port: int, path: str) -> tuple[int, dict[str, Any]]:
    """Give status and document of a probe."""
    status, body = get(port, path)
    return status, json.loads(body)


def scrape(port: int) -> Scraped:
    status, body = get(port, "/metrics")
    assert status == 200, body
    return scraped(body)
