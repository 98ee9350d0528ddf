"""The pages that are made from the code: `python -m tests.docs.reference` writes them."""

from collections.abc import Callable, Mapping
from typing import Final

from tests.acceptance.commands import ROOT
from tests.docs.reference_api import api_page
from tests.docs.reference_commands import commands_page
from tests.docs.reference_errors import errors_page
from tests.docs.reference_settings import settings_page
from worker.adapters.telemetry import reference

PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "docs/errors.md": errors_page,
    "docs/reference-api.md": api_page,
    "docs/reference-commands.md": commands_page,
    "docs/reference-metrics.md": reference.page,
    "docs/reference-settings.md": settings_page,
}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (ROOT / name).write_text(page())
