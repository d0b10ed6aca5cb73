"""The schema as a tree of names: what a path leads to, and the nearest name to a wrong one."""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from typing import TypeAlias, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from sidecard.config.schema import Config

Model: TypeAlias = type[BaseModel]


def inner(annotation: object) -> Model | None:
    """Return the model in a field's type, be it behind a mapping, a list or a choice."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (inner(argument) for argument in get_args(annotation))
    return next((model for model in found if model), None)


def is_mapping(field: FieldInfo) -> bool:
    """Whether a field maps names of the operator's choice."""
    return get_origin(field.annotation) is Mapping


def model_at(path: Sequence[str | int]) -> Model | None:
    """Return the model whose fields a mapping at `path` sets, if that's what belongs there."""
    model: Model | None = Config
    free = False  # The next name is the operator's choice.
    for step in path:
        if model is None:
            return None
        if free or isinstance(step, int):
            free = False
            continue
        field = model.model_fields.get(step)
        if field is None:
            return None
        model, free = inner(field.annotation), is_mapping(field)
    return None if free else model


def field_at(path: Sequence[str | int]) -> bool:
    """Whether something can be set at `path`."""
    *parent, last = path
    model = model_at(parent)
    if model is not None:
        return last in model.model_fields
    field = Config.model_fields.get(str(parent[0])) if len(parent) == 1 else None
    return field is not None and is_mapping(field)


def fields_of(model: Model, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every field that has one of its own: none behind names or lists."""
    for name, field in model.model_fields.items():
        below = field.annotation
        if isinstance(below, type) and issubclass(below, BaseModel):
            yield from fields_of(below, (*path, name))
        else:
            yield (*path, name)


@cache
def _by_leaf(model: Model) -> Mapping[str, str]:
    return {path[-1]: ".".join(path) for path in fields_of(model)}


def key_hint(name: str) -> str:
    """Return how to give a key, for who tried to set it in the configuration; else nothing."""
    if name.lower().replace("-", "_") not in ("api_key", "apikey", "key", "anthropic_api_key"):
        return ""
    return (
        "a key is not part of the configuration: put it into a file and that file's path into "
        "upstream.api_key_file, or set $ANTHROPIC_API_KEY"
    )


def nearest(parent: Sequence[str | int], name: str) -> str:
    """Return what to write in place of an unknown key of the mapping at `parent`."""
    if hint := key_hint(name):
        return hint
    model = model_at(parent)
    names = list(model.model_fields) if model else []
    if model and (below := _by_leaf(model).get(name)):
        return f"did you mean {below}?"
    if close := get_close_matches(name.lower().replace("-", "_"), names, n=1):
        return f"did you mean {close[0]}?"
    if parent and (str(parent[-1]), name) in set(fields_of(Config)):
        return f"did you mean {parent[-1]}.{name}?"  # Of a route's section, what is set for all.
    if elsewhere := _by_leaf(Config).get(name):
        return f"did you mean {elsewhere}?"
    return f"expected one of {', '.join(names)}"
