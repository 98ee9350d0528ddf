"""Load what settings name in Python: the machines of `WORKER_MACHINES`, and factories of custom parts."""

import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from traceback import walk_tb
from types import ModuleType

from worker.core.errors import SetupError
from worker.core.machines import Machine

EXAMPLES_PACKAGE = "machines"
"""The package that the wheel brings as `worker.examples.machines`, for who has none of that name."""

_EXAMPLES = "worker.examples.machines"


def load_machines(packages: Sequence[str], directory: Path) -> tuple[Machine, ...]:
    """Import the packages, looked up from `directory` first, and give the machines in them.

    A machine is what a module of the package, at any depth, calls `machine`, or has in a list called `machines`.
    They come in the order of the packages and of their modules' names, each once.
    Raises: SetupError.
    """
    found = {id(machine): machine for package in packages for machine in _machines_of(package, directory)}
    return tuple(found.values())


def load_part(named: str, setting: str, directory: Path) -> Callable[..., object]:
    """Import the factory that a setting names as `package.module:factory`, looked up from `directory` first.

    Raises: SetupError.
    """
    module_name, _, name = named.partition(":")
    _make_importable(directory)
    module = _imported(module_name, setting)
    factory: object = getattr(module, name, None)
    if not callable(factory):
        what = "has no" if factory is None else "has no function"
        text = f"{setting}={named}: the module {module_name!r} {what} {name!r}; expected package.module:factory."
        raise SetupError(text)
    return factory


def modules_of(package: str, directory: Path, setting: str = "WORKER_MACHINES") -> Iterator[ModuleType]:
    """Import a package, looked up from `directory` first, and all modules below it that are no tests, by their names.

    `setting` is what faults say that the package is named by. Raises: SetupError.
    """
    for module in _tried(_located(package, directory), setting):
        if isinstance(module, SetupError):
            raise module
        yield module


def machines_and_faults(packages: Sequence[str], directory: Path) -> tuple[list[Machine], list[SetupError]]:
    """Give all machines that can be set up, and why others can't be: one that fails does not hide the others."""
    machines: dict[int, Machine] = {}
    faults: list[SetupError] = []
    for package in packages:
        tried = list(_tried(_located(package, directory), "WORKER_MACHINES"))
        found = [one for module in tried if isinstance(module, ModuleType) for one in _declared(module)]
        failed = [module for module in tried if isinstance(module, SetupError)]
        if not found and not failed:
            failed = [_without_machine(package)]
        machines |= {id(machine): machine for machine in found}
        faults += failed
    return list(machines.values()), faults


def _machines_of(package: str, directory: Path) -> list[Machine]:
    machines = [machine for module in modules_of(package, directory) for machine in _declared(module)]
    if not machines:
        raise _without_machine(package)
    return machines


def _without_machine(package: str) -> SetupError:
    return SetupError(
        f"The package {package!r} of WORKER_MACHINES has no machine; "
        "a module of it must call setup_machine(...) and name the result `machine`."
    )


def _declared(module: ModuleType) -> Iterator[Machine]:
    candidates = [getattr(module, "machine", None)]
    listed = getattr(module, "machines", None)
    if isinstance(listed, (list, tuple)):
        candidates.extend(listed)
    yield from (candidate for candidate in candidates if isinstance(candidate, Machine))


def _tried(name: str, setting: str) -> Iterator[ModuleType | SetupError]:
    """Import a module and those below it, by their names; what can't be imported gives its fault in its place."""
    try:
        module = _imported(name, setting)
    except SetupError as error:
        yield error
        return
    yield module
    below = pkgutil.iter_modules(getattr(module, "__path__", ()), f"{name}.")
    for found in sorted(one.name for one in below if not one.name.rpartition(".")[2].startswith("test_")):
        yield from _tried(found, setting)


def _located(package: str, directory: Path) -> str:
    """Make the package importable from the directory, or name the examples in its place."""
    _make_importable(directory)
    if package == EXAMPLES_PACKAGE and not _is_importable(package) and _is_importable(_EXAMPLES):
        return _EXAMPLES
    return package


def _make_importable(directory: Path) -> None:
    folder = str(directory.resolve())
    if folder not in sys.path:
        sys.path.insert(0, folder)
        importlib.invalidate_caches()


def _is_importable(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _imported(name: str, setting: str = "WORKER_MACHINES") -> ModuleType:
    try:
        return importlib.import_module(name)
    except SetupError:
        raise
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise SetupError(
                f"The package {name!r} of {setting} is not found, neither below the working directory nor among "
                "the installed packages; start the worker where its folder is, or correct the name."
            ) from error
        raise SetupError(_failed(name, error)) from error
    except (Exception, SystemExit) as error:
        # Whatever a user's module raises: the start stops with one text.
        raise SetupError(_failed(name, error)) from error


def _failed(name: str, error: BaseException) -> str:
    what = f"{type(error).__name__}: {error}{_line(name, error)}"
    return f"The module {name!r} can't be imported: {what}. Correct it and start again."


def _line(name: str, error: BaseException) -> str:
    """Say on which line of the package the error came up, if one of its modules ran until then."""
    package = name.partition(".")[0]
    frames = [
        (frame.f_code.co_filename, number)
        for frame, number in walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__name__")).partition(".")[0] == package
    ]
    return f" ({frames[-1][0]}, line {frames[-1][1]})" if frames else ""
