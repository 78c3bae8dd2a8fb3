"""Read the inputs, required inputs and output types of a resource from the installed `pulumi_gcp`.

They are read from the package's source with `ast`, one class at a time. Importing the modules would take seconds, and
the annotations of the classes are strings anyway. Names are those of Pulumi's plugin protocol (camelCase); they come
from the `pulumi.getter` decorators.
"""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SDK_VERSION = importlib.metadata.version("pulumi-gcp")


@dataclass(frozen=True)
class FieldType:
    """A field's type. `kind` is str, int, float, bool, any, list, map or object."""

    kind: str
    element: FieldType | None = None
    """Type of the elements of a list or map."""
    name: str = ""
    """Class of an object."""

    def __str__(self) -> str:
        return f"{self.kind} of {self.element}" if self.element else self.name or self.kind


@dataclass(frozen=True)
class Field:
    """A field of a resource or of a nested class."""

    type: FieldType
    required: bool
    """True for an input that must be set, and for an output that always has a value."""


@dataclass(frozen=True)
class ResourceSchema:
    """A resource's fields by name. `package` is the subpackage of pulumi_gcp that contains its nested classes."""

    package: str
    inputs: dict[str, Field]
    outputs: dict[str, Field]


@cache
def resource_schema(token: str) -> ResourceSchema | None:
    """Return the schema of the class for `gcp:container/nodePool:NodePool`, or None if the package has none."""
    _, module, name = token.split(":")
    package = module.split("/")[0]
    file = _root() / package / f"{re.sub(r'(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])', '_', name).lower()}.py"
    if not file.exists() or f'type_token("{token}")' not in _source(file):
        return None
    arguments, resource = _class(file, f"{name}Args"), _class(file, name)
    outputs = {key: Field(*_field_type(f.returns, "Output")) for f, key in _properties(resource)}
    return ResourceSchema(package, _inputs(arguments), outputs)


@cache
def object_fields(package: str, name: str) -> dict[str, Field]:
    """Return the fields of a nested class of inputs (`NodePoolNodeConfigArgs`) or of outputs (`NodePoolNodeConfig`)."""
    return _inputs(_class(_root() / package / ("_inputs.py" if name.endswith("Args") else "outputs.py"), name))


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
    start = _class_offsets(file).get(name)
    if start is None:
        raise LookupError(f"{file.name} of pulumi_gcp has no class {name}")
    text = re.compile(r"class .*\n(?:[ \t]+.*\n|\n)*").match(_source(file), start)
    assert text is not None
    node = ast.parse(text.group()).body[0]
    assert isinstance(node, ast.ClassDef)
    return node


@cache
def _class_offsets(file: Path) -> dict[str, int]:
    """Return the offset in the file at which each class begins."""
    return {match.group(1): match.start() for match in re.finditer(r"^class (\w+)", _source(file), re.MULTILINE)}


def _inputs(node: ast.ClassDef) -> dict[str, Field]:
    init = next(f for f in node.body if isinstance(f, ast.FunctionDef) and f.name == "__init__")
    required = {a.arg for a, d in zip(init.args.kwonlyargs, init.args.kw_defaults, strict=True) if d is None}
    names = {f.name: key for f, key in _properties(node)}
    return {names[a.arg]: Field(_field_type(a.annotation, "Input")[0], a.arg in required) for a in init.args.kwonlyargs}


def _properties(node: ast.ClassDef) -> list[tuple[ast.FunctionDef, str]]:
    found = []
    for function in node.body:
        if isinstance(function, ast.FunctionDef):
            for decorator in function.decorator_list:
                if ast.unparse(decorator).startswith("pulumi.getter"):
                    key = re.search(r"name='(\w+)'", ast.unparse(decorator))
                    found.append((function, key.group(1) if key else function.name))
    return found


def _field_type(annotation: ast.expr | None, wrapper: str) -> tuple[FieldType, bool]:
    """Return the type inside `pulumi.Input[Optional[...]]`, and False if it is optional."""
    match annotation:
        case ast.Constant(value=str(text)):
            return _field_type(ast.parse(text, mode="eval").body, wrapper)
        case ast.Subscript(value=value, slice=inner):
            name = ast.unparse(value).split(".")[-1]
            if name == wrapper:
                return _field_type(inner, wrapper)
            if name == "Optional":
                return _field_type(inner, wrapper)[0], False
            if name == "Sequence":
                return FieldType("list", _field_type(inner, wrapper)[0]), True
            if name == "Mapping" and isinstance(inner, ast.Tuple):
                return FieldType("map", _field_type(inner.elts[1], wrapper)[0]), True
            return FieldType("any"), True
        case ast.Name() | ast.Attribute():
            name = ast.unparse(annotation).split(".")[-1]
            if name in ("str", "int", "float", "bool"):
                return FieldType(name), True
            if name == "Any":
                return FieldType("any"), True
            return FieldType("object", name=name), True
        case _:
            return FieldType("any"), True
