"""The page of all commands, made from what `--help` is made of."""

import inspect
from collections.abc import Iterator
from typing import Any, Final

from typer._click.core import Command, Parameter
from typer.core import TyperGroup
from typer.main import get_command

from worker.cli.app import app

HEAD: Final = """\
# Commands

Every command with its arguments and options, as `--help` shows them; [the command](commands.md) has what they share,
exit statuses among it. This page is made from the code: `make reference`.

"""


def commands_page() -> str:
    sections = (section(name, command) for name, command in commands(get_command(app)))
    return HEAD + "\n".join(sections)


def commands(of: Command, name: str = "worker") -> Iterator[tuple[str, Command]]:
    """Give each command by its whole name."""
    if isinstance(of, TyperGroup):
        for word, command in of.commands.items():
            yield from commands(command, f"{name} {word}")
    else:
        yield name, of


def section(name: str, command: Command) -> str:
    lines = [f"## `{name}`", "", prose(command.help), ""]
    shown = [one for one in command.params if one.name != "help" and not getattr(one, "hidden", False)]
    if shown:
        lines += ["| | |", "|---|---|", *(f"| {spelling(one)} | {meaning(one)} |" for one in shown), ""]
    if examples := example_lines(command.epilog):
        lines += ["```text", *examples, "```", ""]
    return "\n".join(lines)


def prose(text: str | None) -> str:
    return inspect.cleandoc(text or "").replace("<", "&lt;")


def spelling(parameter: Parameter) -> str:
    one: Any = parameter
    if one.param_type_name == "argument":
        return f"`{one.metavar or one.name.upper()}`"
    metavar = "" if one.is_flag else f" {one.metavar or one.type.name.upper()}"
    spelt = ", ".join(f"`{text}{metavar}`" for text in (*one.opts, *one.secondary_opts))
    return spelt.replace("|", "\\|")


def meaning(parameter: Parameter) -> str:
    one: Any = parameter
    text = prose(one.help).replace("|", "\\|")
    has_default = (
        one.default is not None and one.default is not False and one.show_default and not callable(one.default)
    )
    return f"{text} Default: `{one.default}`." if has_default else text


def example_lines(epilog: str | None) -> list[str]:
    return [line.strip() for line in (epilog or "").splitlines() if line.startswith("  ")]
