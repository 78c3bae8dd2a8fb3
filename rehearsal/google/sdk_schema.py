"""What the installed `pulumi_gcp` says of a resource: its inputs, which of them it must have, and its outputs' types.

Read from the package's source by `ast`, one class at a time: importing the modules would take seconds, and the classes'
own annotations are strings anyway. Names are those of the wire (camelCase), from the classes' `pulumi.getter`s.
"""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

VERSION = importlib.metadata.version("pulumi-gcp")


@dataclass(frozen=True)
class Type:
    """`kind` is str, int, float, bool, any, list, map or object; `of` is the element, `name` the class of an object."""

    kind: str
    of: Type | None = None
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind} of {self.of}" if self.of else self.name or self.kind


@dataclass(frozen=True)
class Field:
    type: Type
    required: bool
    """An input that must be given; an output that is always there."""


@dataclass(frozen=True)
class Shape:
    """A resource. `folder` is the package's module that holds its nested classes."""

    folder: str
    inputs: dict[str, Field]
    outputs: dict[str, Field]


@cache
def shape(token: str) -> Shape | None:
    """The resource class of `gcp:container/nodePool:NodePool`, or None where the package has none."""
    _, module, name = token.split(":")
    folder = module.split("/")[0]
    file = _root() / folder / f"{re.sub(r'(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])', '_', name).lower()}.py"
    if not file.exists() or f'type_token("{token}")' not in _source(file):
        return None
    arguments, resource = _class(file, f"{name}Args"), _class(file, name)
    outputs = {key: Field(*_type(f.returns, "Output")) for f, key in _properties(resource)}
    return Shape(folder, _inputs(arguments), outputs)


@cache
def fields(folder: str, name: str) -> dict[str, Field]:
    """The fields of a nested class, of inputs (`NodePoolNodeConfigArgs`) or of outputs (`NodePoolNodeConfig`)."""
    return _inputs(_class(_root() / folder / ("_inputs.py" if name.endswith("Args") else "outputs.py"), name))


@cache
def _root() -> Path:
    spec = importlib.util.find_spec("pulumi_gcp")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


@cache
def _source(file: Path) -> str:
    return file.read_text()


def _class(file: Path, name: str) -> ast.ClassDef:
    start = _classes(file).get(name)
    if start is None:
        raise LookupError(f"{file.name} of pulumi_gcp has no class {name}")
    text = re.compile(r"class .*\n(?:[ \t]+.*\n|\n)*").match(_source(file), start)
    assert text is not None
    node = ast.parse(text.group()).body[0]
    assert isinstance(node, ast.ClassDef)
    return node


@cache
def _classes(file: Path) -> dict[str, int]:
    """Where each class begins."""
    return {match.group(1): match.start() for match in re.finditer(r"^class (\w+)", _source(file), re.MULTILINE)}


def _inputs(node: ast.ClassDef) -> dict[str, Field]:
    init = next(f for f in node.body if isinstance(f, ast.FunctionDef) and f.name == "__init__")
    required = {a.arg for a, d in zip(init.args.kwonlyargs, init.args.kw_defaults, strict=True) if d is None}
    names = {f.name: key for f, key in _properties(node)}
    return {names[a.arg]: Field(_type(a.annotation, "Input")[0], a.arg in required) for a in init.args.kwonlyargs}


def _properties(node: ast.ClassDef) -> list[tuple[ast.FunctionDef, str]]:
    found = []
    for function in node.body:
        if isinstance(function, ast.FunctionDef):
            for decorator in function.decorator_list:
                if ast.unparse(decorator).startswith("pulumi.getter"):
                    key = re.search(r"name='(\w+)'", ast.unparse(decorator))
                    found.append((function, key.group(1) if key else function.name))
    return found


def _type(annotation: ast.expr | None, wrapper: str) -> tuple[Type, bool]:
    """The type under `pulumi.Input[Optional[...]]`, and whether it is not optional."""
    match annotation:
        case ast.Constant(value=str(text)):
            return _type(ast.parse(text, mode="eval").body, wrapper)
        case ast.Subscript(value=value, slice=inner):
            name = ast.unparse(value).split(".")[-1]
            if name == wrapper:
                return _type(inner, wrapper)
            if name == "Optional":
                return _type(inner, wrapper)[0], False
            if name == "Sequence":
                return Type("list", _type(inner, wrapper)[0]), True
            if name == "Mapping" and isinstance(inner, ast.Tuple):
                return Type("map", _type(inner.elts[1], wrapper)[0]), True
            return Type("any"), True
        case ast.Name() | ast.Attribute():
            name = ast.unparse(annotation).split(".")[-1]
            if name in ("str", "int", "float", "bool"):
                return Type(name), True
            if name == "Any":
                return Type("any"), True
            return Type("object", name=name), True
        case _:
            return Type("any"), True
