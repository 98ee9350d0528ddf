"""Find the services that packages define, as the worker finds machines."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from worker.core.errors import SetupError
from worker.machine_loader import modules_of
from worker.services.service import Service

_NAMED_BY = "`worker serve`"


def load_services(packages: Sequence[str], directory: Path) -> tuple[Service[..., Any], ...]:
    """Import the packages, looked up from `directory` first, and give the services that their modules have a name for.

    They come in the order of the packages, of their modules' names and of the modules' lines, each once.
    Raises: SetupError.
    """
    found = {id(one): one for package in packages for one in _services_of(package, directory)}
    return tuple(found.values())


def _services_of(package: str, directory: Path) -> list[Service[..., Any]]:
    modules = modules_of(package, directory, _NAMED_BY)
    services = [value for module in modules for value in vars(module).values() if isinstance(value, Service)]
    if not services:
        raise SetupError(
            f"The package {package!r} has no service; a module of it must have a function with "
            '@service(contract.version("…")) above it.'
        )
    return services
