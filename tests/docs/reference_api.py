"""The page of the public API, made from the source: signatures as they are written there, and docstrings."""

import ast
import inspect
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Final

import worker
import worker.testing

HEAD: Final = """\
# Public API

Every public name, with its signature and what it promises. What is not here is not public, and may change with any
version. This page is made from the code: `make reference`.

"""
SECTIONS: Final = (
    (
        worker,
        "## `worker`\n\nThe library, services and clients; [the library](library.md) and [services](services.md).\n",
    ),
    (worker.testing, "## `worker.testing`\n\nThe test kit; [testing](testing.md).\n"),
)
WIDTH_MAX: Final = 100

Function = ast.FunctionDef | ast.AsyncFunctionDef


def api_page() -> str:
    return HEAD + "\n".join(part for module, head in SECTIONS for part in (head, *entries(module)))


def entries(module: ModuleType) -> Iterator[str]:
    homes: dict[str, str] = vars(module)["_HOMES"]
    for name in sorted(homes, key=str.lower):
        yield f"### `{name}`\n\n{entry(*definition(homes[name], name))}\n"


def entry(node: ast.stmt, text: str) -> str:
    match node:
        case ast.ClassDef():
            members = [part for member in public(node) if (part := method(member))]
            return "\n\n".join([fenced(class_head(node)), doc(ast.get_docstring(node)), *members])
        case ast.FunctionDef():
            return "\n\n".join([fenced(signature(node)), doc(ast.get_docstring(node))])
        case _:
            return "\n\n".join([fenced(ast.unparse(node)), doc(text)])


def class_head(node: ast.ClassDef) -> str:
    """Give the class's first line, its fields or members, and how it is made, if that is by hand."""
    bases = ", ".join(ast.unparse(base) for base in node.bases)
    head = f"class {node.name}({bases}):" if bases else f"class {node.name}:"
    fields = [line for one in node.body if (line := _field(one))]
    made = [
        indented(signature(one)) for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"
    ]
    return "\n".join([head, *fields, *made]) if fields or made else head.removesuffix(":")


def _field(node: ast.stmt) -> str | None:
    match node:
        case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation) if not name.startswith("_"):
            return f"    {name}: {ast.unparse(annotation)}"
        case ast.Assign(targets=[ast.Name(id=name)]) if not name.startswith("_"):
            return f"    {ast.unparse(node)}"
        case _:
            return None


def public(node: ast.ClassDef) -> Iterator[Function]:
    for member in node.body:
        if isinstance(member, Function) and not member.name.startswith("_"):
            yield member


def method(node: Function) -> str | None:
    decorators = {ast.unparse(one).rpartition(".")[2] for one in node.decorator_list}
    text = ast.get_docstring(node)
    if "overload" in decorators or text is None:
        return None
    if decorators & {"property", "cached_property"}:
        head = f"{node.name}: {ast.unparse(node.returns) if node.returns else 'object'}"
    else:
        head = signature(node)
    return f"{fenced(head)}\n\n{doc(text)}"


def signature(node: Function) -> str:
    """Give the function's first line, or a line for each parameter where that is too long."""
    returned = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    parameters = _without_self(ast.unparse(node.args))
    line = f"def {node.name}({parameters}){returned}"
    if len(line) <= WIDTH_MAX:
        return line
    parts = "".join(f"    {part},\n" for part in _split(parameters))
    return f"def {node.name}(\n{parts}){returned}"


def _without_self(parameters: str) -> str:
    first, _, rest = parameters.partition(", ")
    return rest if first in {"self", "cls"} else parameters


def _split(parameters: str) -> list[str]:
    """Split at the commas that are in no bracket."""
    parts, depth = [""], 0
    for character in parameters:
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


def fenced(text: str) -> str:
    return f"```python\n{text}\n```"


def doc(text: str | None) -> str:
    """Give a docstring as Markdown: its paragraphs and lists are that already."""
    return inspect.cleandoc(text or "").replace("<", "&lt;")


def definition(module: str, name: str) -> tuple[ast.stmt, str]:
    """Find where a name is defined, and the text below it if it is no class or function."""
    body = tree(module).body
    for number, node in enumerate(body):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name and not _is_overload(node):
            return node, ""
        if isinstance(node, ast.Assign | ast.AnnAssign) and name in _targets(node):
            return node, _text_below(body, number)
    for node in body:
        if isinstance(node, ast.ImportFrom) and node.module and any(one.name == name for one in node.names):
            return definition(node.module, name)
    raise LookupError(f"{module} has no {name}")


def _is_overload(node: ast.ClassDef | ast.FunctionDef) -> bool:
    return any(ast.unparse(one).endswith("overload") for one in node.decorator_list)


def _targets(node: ast.Assign | ast.AnnAssign) -> set[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return {one.id for one in targets if isinstance(one, ast.Name)}


def _text_below(body: list[ast.stmt], number: int) -> str:
    match body[number + 1 : number + 2]:
        case [ast.Expr(value=ast.Constant(value=str(text)))]:
            return text
        case _:
            return ""


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(Path(str(import_module(module).__file__)).read_text())
