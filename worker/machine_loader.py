"""Load what settings name in Python: the machines of `WORKER_MACHINES`, and factories of custom parts."""

import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from traceback import walk_tb
from types import ModuleType

from worker.core.engine.outline import Place
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


@dataclass(frozen=True, slots=True)
class LoadingFault:
    """Why a module's machines can't be set up, and where that came up, as far as it is known."""

    text: str
    place: Place


def machines_and_faults(
    packages: Sequence[str], directory: Path, setting: str = "WORKER_MACHINES"
) -> tuple[tuple[Machine, ...], tuple[LoadingFault, ...]]:
    """Give all machines that can be set up, and why others can't be: a module that fails hides no other.

    `setting` is what faults say that the packages are named by.
    Raises: SetupError, if a package is not there, or has nothing of the kind.
    """
    machines: dict[int, Machine] = {}
    faults: dict[LoadingFault, None] = {}
    for package in packages:
        located = _located(package, directory)
        tried = list(_tried(located, setting))
        found = [one for module in tried if isinstance(module, ModuleType) for one in _declared(module)]
        failed = [error for error in tried if isinstance(error, SetupError)]
        for error in failed:
            if isinstance(error, _PackageNotFound):
                raise error
        if not found and not failed:
            raise _without_machine(package, setting)
        machines |= {id(machine): machine for machine in found}
        # A module that fails does so again for each module that imports it.
        faults |= dict.fromkeys(_fault(error, located) for error in failed)
    return tuple(machines.values()), tuple(faults)


class _PackageNotFound(SetupError):
    """A package that is named is not there."""


def _fault(error: SetupError, package: str) -> LoadingFault:
    """Say where a module failed: in the chart, in a module that is no Python, or on the line that ran last."""
    cause = error.__cause__ or error
    if error.file is not None:
        place = Place(error.file, error.line)
        return LoadingFault(str(error).removeprefix(f"{place}: "), place)
    if isinstance(cause, SyntaxError):
        return LoadingFault(str(error), Place(cause.filename, cause.lineno))
    frames = _frames_of(package, error) or _frames_of(package, cause)
    return LoadingFault(str(error), Place(*frames[-1]) if frames else Place(None, None))


def _machines_of(package: str, directory: Path) -> list[Machine]:
    machines = [machine for module in modules_of(package, directory) for machine in _declared(module)]
    if not machines:
        raise _without_machine(package, "WORKER_MACHINES")
    return machines


def _without_machine(package: str, setting: str) -> SetupError:
    return SetupError(
        f"The package {package!r} of {setting} has no machine; "
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
    """Make the package importable from the directory, or name the examples, or one of them, in its place."""
    _make_importable(directory)
    root, dot, rest = package.partition(".")
    if root == EXAMPLES_PACKAGE and not _is_importable(root) and _is_importable(_EXAMPLES):
        return f"{_EXAMPLES}{dot}{rest}"
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
            raise _PackageNotFound(
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
    frames = _frames_of(name.partition(".")[0], error)
    return f" ({frames[-1][0]}, line {frames[-1][1]})" if frames else ""


def _frames_of(package: str, error: BaseException) -> list[tuple[str, int]]:
    """Give file and line of the frames that ran code of a package, the last one last."""
    return [
        (frame.f_code.co_filename, number)
        for frame, number in walk_tb(error.__traceback__)
        if f"{frame.f_globals.get('__name__')}.".startswith(f"{package}.")
    ]
