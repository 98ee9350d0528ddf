"""What is made from other files: the chart's README, schema and copies, and the snapshots of what it renders.

`make chart` writes all of it anew.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from tests.helm.chart import CHART, ROOT, SNAPSHOTS, VALUE_SETS, Helm, built_helm
from tests.helm.documented import documented_values
from tests.helm.schema import values_schema

COPIED: Final = {
    CHART / "files" / name: ROOT / "docs" / "monitoring" / name for name in ("alerts.yaml", "dashboard.json")
}
"""A packaged chart has no files of elsewhere, and links to them don't survive packing."""

_README: Final = """\
# The chart

Workers on Kubernetes, beside a Kafka and a PostgreSQL that you have. [docs/kubernetes.md](../docs/kubernetes.md) tells
how to install, upgrade and scale them.

```sh
kubectl create secret generic orchestrator-database --from-literal=url='postgresql://…'
helm install orchestrator-worker ./helm \\
  --set kafka.bootstrapServers=kafka:9092 --set database.secretName=orchestrator-database
```

## Values

Made from the comments in [values.yaml](values.yaml); `values.schema.json` refuses what is none of these.

| value | default | |
|---|---|---|
"""


def files_without_helm() -> Mapping[Path, str]:
    """Give the path and text of each file that is made from other files alone."""
    copies = {copy: original.read_text() for copy, original in COPIED.items()}
    schema = json.dumps(values_schema(), indent=2, ensure_ascii=False) + "\n"
    return {CHART / "README.md": readme(), CHART / "values.schema.json": schema, **copies}


def readme() -> str:
    """Write the chart's README."""
    rows = [f"| `{value.name}` | {_shown(value.default)} | {_cell(value.text)} |\n" for value in documented_values()]
    return _README + "".join(rows)


def snapshot(helm: Helm, values: Path) -> str:
    """Give what the chart renders for a set of values, the copied files by their digests alone."""
    return "".join(_without_copies(helm.render(values)))


def snapshot_file(values: Path) -> Path:
    """Say where a set's snapshot is."""
    return SNAPSHOTS / values.name


def _without_copies(text: str) -> Iterator[str]:
    for document in text.split("---\n"):
        head, data, copied = document.partition("\ndata:\n")
        if data and "# Source: orchestrator-worker/templates/monitoring.yaml" in head:
            name = copied.strip().partition(":")[0]
            copied = f"  {name}: (sha256 {hashlib.sha256(copied.encode()).hexdigest()})\n"
        yield ("---\n" if document.strip() else "") + head + data + copied


def _shown(default: Any) -> str:
    return f"`{_cell(json.dumps(default, ensure_ascii=False))}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> None:
    """Write every file anew."""
    for path, text in files_without_helm().items():
        path.write_text(text)
    helm = built_helm()
    SNAPSHOTS.mkdir(exist_ok=True)
    for old in SNAPSHOTS.glob("*.yaml"):
        old.unlink()
    for values in VALUE_SETS:
        snapshot_file(values).write_text(snapshot(helm, values))


if __name__ == "__main__":
    main()
