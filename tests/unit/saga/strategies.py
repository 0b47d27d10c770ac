"""Hypothesis strategies for the saga's records, built from the types of the dataclasses."""

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

TEXT = st.text(max_size=12)
PLAIN: Mapping[Any, st.SearchStrategy[Any]] = {
    str: TEXT,
    int: st.integers(-(2**63), 2**63),
    float: st.floats(allow_nan=False),
    bool: st.booleans(),
    type(None): st.none(),
}


def of(kind: Any, chosen: Mapping[Any, st.SearchStrategy[Any]] = PLAIN) -> st.SearchStrategy[Any]:
    """Give a strategy for everything that the type allows; ``chosen`` says what to draw for some types."""
    if kind in chosen:
        return chosen[kind]
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return st.one_of([of(member, chosen) for member in arguments])
    if origin is tuple and arguments[1:] == (Ellipsis,):
        return st.lists(of(arguments[0], chosen), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*(of(argument, chosen) for argument in arguments))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return st.sampled_from(kind)
    assert isinstance(kind, type)
    assert is_dataclass(kind)
    hints = get_type_hints(kind)
    return st.builds(kind, **{field.name: of(hints[field.name], chosen) for field in fields(kind)})
