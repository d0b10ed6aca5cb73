"""Values of the SDK's own types, made from their pydantic fields, so that new ones count, too."""

from datetime import datetime
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from hypothesis import strategies as st
from pydantic import BaseModel

Json = Any

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
# Numbers as a double keeps them, so that no parser may change them.
NUMBER = st.integers(-(2**53), 2**53) | st.floats(-1e6, 1e6, allow_nan=False).map(lambda x: x + 0.5)
ANY_JSON: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | NUMBER | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


def members(union: Any) -> tuple[type[BaseModel], ...]:
    """Return the models of a discriminated union of the SDK's."""
    while get_origin(union) is Annotated:
        union = get_args(union)[0]
    return get_args(union)


@cache
def instances(model: type[BaseModel]) -> st.SearchStrategy[dict[str, Json]]:
    """Return the JSON of any value of `model`, its optional fields there or not."""
    required: dict[str, st.SearchStrategy[Json]] = {}
    optional: dict[str, st.SearchStrategy[Json]] = {}
    for name, field in model.model_fields.items():
        key = field.alias or name
        (required if field.is_required() else optional)[key] = of(cast("Any", field.annotation))
    return st.fixed_dictionaries(required, optional=optional)


@cache
def of(annotation: Any) -> st.SearchStrategy[Json]:  # noqa: PLR0911  # one a kind of type
    """Return the JSON of any value of a field's type."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return of(arguments[0])
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in (Union, UnionType):
        return st.one_of([of(argument) for argument in arguments])
    if origin is list:
        return st.lists(of(arguments[0]), max_size=2)
    if origin is dict:
        return st.dictionaries(TEXT, of(arguments[1]), max_size=3)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return instances(annotation)
    return _PLAIN[annotation]


_PLAIN: dict[Any, st.SearchStrategy[Json]] = {
    str: TEXT,
    int: st.integers(0, 2**40),
    float: NUMBER,
    bool: st.booleans(),
    object: ANY_JSON,
    NoneType: st.none(),
    datetime: st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
}
