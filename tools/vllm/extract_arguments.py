"""Write what the importable vLLM accepts as engine arguments, as JSON. write_tables.py runs it in .venv-ray.

An argument's schema is its annotation in AsyncEngineArgs, or the annotation and bounds of the config class's field that
it fills: `CacheConfig(gpu_memory_utilization=self.gpu_memory_utilization)` in vllm/engine/arg_utils.py. vLLM's config
classes are pydantic dataclasses. The schemas are the few words of JSON Schema that config/vllm/schema.py knows.
"""

# pyright: reportMissingImports=false
from __future__ import annotations

import ast
import contextlib
import dataclasses
import enum
import hashlib
import importlib
import inspect
import json
import sys
import types
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic import GetPydanticSchema, SkipValidation

import vllm.config
from vllm.engine import arg_utils

Schema = dict[str, Any]
ANY: Schema = {}
NULL: Schema = {"type": "null"}
BOUNDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
PLAIN = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null", Path: "string"}
ROOT = Path(arg_utils.__file__).parents[1]
UNWRITABLE = "unwritable"
"""Type that no YAML file can hold: a class, a function, a torch.dtype."""


class Classes:
    """The config classes that arguments refer to, each described once."""

    def __init__(self) -> None:
        self.described: dict[str, Schema] = {}

    def reference(self, cls: type) -> Schema:
        """Return a reference to `cls`, and describe it."""
        if cls.__name__ not in self.described:
            self.described[cls.__name__] = {}
            fields = getattr(cls, "__pydantic_fields__", None) or {}
            hidden = {f.name for f in dataclasses.fields(cls) if not f.init or f.name.startswith("_")}
            settable = {name: info for name, info in fields.items() if name not in hidden and info.init is not False}
            config = getattr(cls, "__pydantic_config__", {})
            properties = {name: self.field(cls, name) for name in sorted(settable)}
            self.described[cls.__name__] = {
                "open": config.get("extra") != "forbid",
                "properties": {name: each for name, each in properties.items() if is_writable(each)},
            }
        return {"$ref": cls.__name__}

    def field(self, cls: type, name: str) -> Schema:
        """Return the schema of a field of a config class, with what its validators make of text."""
        info = cls.__pydantic_fields__[name]  # type: ignore[attr-defined]
        annotation = info.annotation
        skipped = any(isinstance(each, SkipValidation) for each in info.metadata)  # type: ignore[arg-type]
        if skipped and inner_classes(annotation):
            return {"type": UNWRITABLE}  # vLLM fills it with an object
        own = any(isinstance(each, GetPydanticSchema) for each in info.metadata)
        schema = ANY if own else self.schema(annotation, tuple(info.metadata))
        if info.default is None and not info.is_required():
            schema = union(schema, NULL)  # "None, and set later": vLLM ignores the type there
        if before := converters(cls, name):
            schema = self.probed(schema, annotation, before)
        return schema

    def schema(self, annotation: Any, metadata: tuple[Any, ...] = ()) -> Schema:
        """Return the schema of an annotation."""
        origin, args = typing.get_origin(annotation), typing.get_args(annotation)
        if origin is typing.Annotated:
            if any(isinstance(each, GetPydanticSchema) for each in args[1:]):
                return ANY  # a schema of vLLM's own, which says nothing about types
            return self.schema(args[0], (*metadata, *args[1:]))
        if origin in (typing.Union, types.UnionType):
            return union(*(self.schema(arg, metadata) for arg in args))
        if origin is typing.Literal:
            return {"enum": list(args)}
        if annotation in PLAIN:
            return bounded({"type": PLAIN[annotation]}, metadata)
        if origin in (list, set, frozenset, tuple) or annotation in (list, set, tuple):
            items = self.schema(args[0]) if args else ANY
            return {"type": "array", "items": items}
        if origin is dict or annotation is dict or typing.is_typeddict(annotation):
            return {"type": "object", "values": self.schema(args[1]) if len(args) > 1 else ANY}
        if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
            values = [value for member in annotation for value in scalars(member.value)]
            return {"enum": values, "ignoreCase": True} if all(isinstance(v, str) for v in values) else {"enum": values}
        if dataclasses.is_dataclass(annotation) and isinstance(annotation, type):
            return self.reference(annotation) if hasattr(annotation, "__pydantic_fields__") else {"type": UNWRITABLE}
        if annotation is Any or annotation is object:
            return ANY
        return {"type": UNWRITABLE}

    def probed(self, schema: Schema, annotation: Any, before: list[Callable[[Any], Any]]) -> Schema:
        """Add the text that the validators before pydantic's own turn into a valid value: names of an enum, say."""
        enums = [each for each in leaves(annotation) if isinstance(each, type) and issubclass(each, enum.Enum)]
        choices = [typing.get_args(each) for each in leaves(annotation) if typing.get_origin(each) is typing.Literal]
        if any(len(inspect.signature(each).parameters) > 1 for each in before):
            return union(schema, {"type": "string"})  # needs pydantic's context, so it cannot be asked
        names = [member.name for each in enums for member in each]
        names += [value for each in choices for value in each if isinstance(value, str)]
        accepted = [name for name in [*names, "auto"] if accepts(before, annotation, name)]
        folded = bool(names) and all(
            accepts(before, annotation, changed(name)) for name in accepted for changed in (str.upper, str.lower)
        )
        if accepted and names:
            return union({"enum": accepted, **({"ignoreCase": True} if folded else {})}, schema)
        return union(schema, {"type": "string"}) if accepts(before, annotation, "a") else schema


def is_writable(schema: Schema) -> bool:
    """Return False if only null could be written."""
    options = [each for each in schema.get("anyOf", [schema]) if each != NULL]
    return any(each.get("type") != UNWRITABLE for each in options)


def is_enumeration(annotation: Any) -> bool:
    is_enum = isinstance(annotation, type) and issubclass(annotation, enum.Enum)
    return is_enum or typing.get_origin(annotation) is typing.Literal


def leaves(annotation: Any) -> Iterator[Any]:
    """Yield the members of a union, or the annotation itself."""
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        yield from leaves(args[0])
    elif origin in (typing.Union, types.UnionType):
        for arg in args:
            yield from leaves(arg)
    else:
        yield annotation


def inner_classes(annotation: Any) -> list[type]:
    return [each for each in leaves(annotation) if isinstance(each, type) and dataclasses.is_dataclass(each)]


def converters(cls: type, name: str) -> list[Callable[[Any], Any]]:
    """Return the `before` validators of a field."""
    decorators = cls.__pydantic_decorators__.field_validators  # type: ignore[attr-defined]
    return [
        getattr(cls, attribute)
        for attribute, decorator in decorators.items()
        if decorator.info.mode == "before" and {name, "*"} & set(decorator.info.fields)
    ]


def accepts(before: list[Callable[[Any], Any]], annotation: Any, value: object) -> bool:
    """Return True if `value` is valid once the validators have turned it into something else."""
    original = value
    try:
        for each in before:
            value = each(value)
    except Exception:  # KeyError, ValueError, TypeError: all are "no" here
        return False
    literals = [each for each in leaves(annotation) if typing.get_origin(each) is typing.Literal]
    return any(value in typing.get_args(each) for each in literals) if isinstance(value, str) else value is not original


def scalars(value: object) -> list[Any]:
    return [value] if isinstance(value, str | int | float) and not isinstance(value, bool) else []


def bounded(schema: Schema, metadata: tuple[Any, ...]) -> Schema:
    """Add the bounds that pydantic's metadata (annotated_types.Ge and its kin) has."""
    if schema["type"] not in ("integer", "number"):
        return schema
    found = {word: getattr(each, name) for each in metadata for name, word in BOUNDS.items() if hasattr(each, name)}
    return schema | found


def union(*schemas: Schema) -> Schema:
    """Return the union of schemas, flat, without what YAML cannot hold."""
    flat: list[Schema] = []
    for each in schemas:
        for one in each.get("anyOf", [each]):
            if one not in flat:
                flat.append(one)
    if ANY in flat:
        return ANY
    writable = [each for each in flat if each.get("type") != UNWRITABLE] or flat
    return writable[0] if len(writable) == 1 else {"anyOf": writable}


def filled_fields() -> dict[str, tuple[type, str]]:
    """Return argument -> (config class, field) that it fills, read from the source of EngineArgs."""
    tree = ast.parse(Path(arg_utils.__file__).read_text())
    found: dict[str, tuple[type, str]] = {}
    (engine_args,) = (n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "EngineArgs")
    for node in ast.walk(engine_args):
        match node:
            case ast.Call(func=ast.Name(id=name), keywords=keywords) if is_config(name):
                for word in keywords:
                    match word.value:
                        case ast.Attribute(value=ast.Name(id="self"), attr=argument) if word.arg:
                            found.setdefault(argument, (getattr(arg_utils, name), word.arg))
            case ast.AnnAssign(target=ast.Name(id=argument), value=value) if value is not None:
                match value:
                    case ast.Attribute(value=ast.Name(id=name), attr=field) if is_config(name):
                        found[argument] = (getattr(arg_utils, name), field)
                    case ast.Call(func=ast.Name(id="get_field"), args=[ast.Name(id=name), ast.Constant(value=field)]):
                        found[argument] = (getattr(arg_utils, name), str(field))
    return found


def is_config(name: str) -> bool:
    return hasattr(getattr(arg_utils, name, None), "__pydantic_fields__")


def frontend_args() -> type:
    """Return FrontendArgs, whose module has moved."""
    for module in ("vllm.entrypoints.launchers.cli_args", "vllm.entrypoints.openai.cli_args"):
        with contextlib.suppress(ModuleNotFoundError):
            return importlib.import_module(module).FrontendArgs
    raise RuntimeError("this vLLM has no FrontendArgs")


def engine_argument(classes: Classes, name: str, hint: Any, default: Any, filled: tuple[type, str] | None) -> Schema:
    """Return the schema of an argument of AsyncEngineArgs."""
    schema = classes.schema(hint)
    if filled is not None and filled[1] in filled[0].__pydantic_fields__:  # type: ignore[attr-defined]
        cls, field = filled
        probes = converters(cls, field)
        enumerated = any(is_enumeration(each) for each in leaves(cls.__pydantic_fields__[field].annotation))  # type: ignore[attr-defined]
        field_schema = classes.field(cls, field)
        if (not probes or enumerated) and (has_choices(field_schema) or not has_choices(schema)):
            schema = union(field_schema, *([NULL] if NULL in schema.get("anyOf", []) else []))
    named = getattr(vllm.config, "".join(word.capitalize() for word in name.split("_")), None)
    if dataclasses.is_dataclass(named) and isinstance(named, type) and is_open_mapping(schema):
        schema = union(classes.reference(named), NULL)  # speculative_config: dict[str, Any], SpeculativeConfig(**it)
    return union(schema, NULL) if default is None else schema


def has_choices(schema: Schema) -> bool:
    return any("enum" in each for each in schema.get("anyOf", [schema]))


def is_open_mapping(schema: Schema) -> bool:
    return any(each.get("type") == "object" and each.get("values") == ANY for each in schema.get("anyOf", [schema]))


def hints(cls: type) -> dict[str, Any]:
    from vllm.config import quantization

    names = {**vars(arg_utils), **vars(quantization)} if hasattr(vllm.config, "quantization") else vars(arg_utils)
    return typing.get_type_hints(cls, globalns=names, include_extras=True)


def arguments(classes: Classes) -> dict[str, Schema]:
    """Return argument -> schema, of AsyncEngineArgs and FrontendArgs. Ray gives a name of both to the second."""
    filled, found = filled_fields(), {}
    typed = hints(arg_utils.AsyncEngineArgs)
    for field in dataclasses.fields(arg_utils.AsyncEngineArgs):
        if not field.name.startswith("_"):
            default = None if field.default is None else ...
            found[field.name] = engine_argument(classes, field.name, typed[field.name], default, filled.get(field.name))
    frontend = frontend_args()
    return found | {field.name: classes.field(frontend, field.name) for field in dataclasses.fields(frontend)}


def literal(module: str, name: str) -> list[str]:
    """Return the members of a Literal that a module names."""
    return sorted(typing.get_args(getattr(importlib.import_module(module), name)))


def registered(path: str) -> list[str]:
    """Return the keys of the largest table of text keys in a module: the parsers that it registers lazily."""
    tree = ast.parse((ROOT / path).read_text())
    tables = [node.keys for node in ast.walk(tree) if isinstance(node, ast.Dict)]
    keys = [[key.value for key in table if isinstance(key, ast.Constant)] for table in tables]
    return sorted(str(key) for key in max(keys, key=len))


def sources() -> list[Path]:
    """Return the files that the tables are made from."""
    frontend = Path(sys.modules[frontend_args().__module__].__file__ or "")
    parsers = [ROOT / "reasoning" / "__init__.py", ROOT / "tool_parsers" / "__init__.py"]
    return sorted([*ROOT.glob("config/*.py"), ROOT / "engine" / "arg_utils.py", frontend, *parsers])


def main() -> None:
    """Write the tables to the file that the command line names: vLLM itself logs to standard output."""
    classes = Classes()
    found = arguments(classes)
    digest = hashlib.sha256(b"".join(each.read_bytes() for each in sources())).hexdigest()
    tables = json.dumps(
        {
            "sources": {"files": [str(s.relative_to(ROOT)) for s in sources()], "sha256": digest},
            "arguments": dict(sorted(found.items())),
            "classes": dict(sorted(classes.described.items())),
            "names": {
                "load_format": literal("vllm.model_executor.model_loader", "LoadFormats"),
                "quantization": literal("vllm.model_executor.layers.quantization", "QuantizationMethods"),
                "reasoning_parser": registered("reasoning/__init__.py"),
                "tool_call_parser": registered("tool_parsers/__init__.py"),
            },
        }
    )
    Path(sys.argv[1]).write_text(tables)


if __name__ == "__main__":
    main()
