"""Genuine JSON documents with something wrong: the strategies of the tests that read bytes from outside."""

import copy
import json
from collections.abc import Iterator, Sequence
from typing import Any

from hypothesis import strategies as st

#: Texts that have broken readers: empty, blank, NUL, half of a surrogate pair, right-to-left, long, paths.
TEXTS = st.one_of(
    st.sampled_from(
        [
            "",
            " ",
            "\0",
            "a\0b",
            "\ud800",
            "\udfffx",
            "\u202e",
            "\u0130",
            "\u212a",
            "\u017f",
            "%",
            "%%",
            "%vmName%",
            "%x%",
        ]
    ),
    st.sampled_from(
        ["x" * 65, "x" * 257, "x" * 1025, "../..", "/", "C:\\x", "NaN", "0", "-1", "1e5", "null"]
    ),
    st.text(max_size=12),
)

NUMBERS = st.one_of(
    st.sampled_from([-1, 0, 1, 2**31, 2**32, 2**53, 2**53 + 1, 2**63, 2**64, 10**40, -(10**40)]),
    st.integers(),
    st.sampled_from([0.0, -0.0, 0.5, 1.0, 1e9, 1e308, float("inf"), float("-inf"), float("nan")]),
)

SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)

#: Any JSON, small.
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)

Path = tuple[str | int, ...]


@st.composite
def mutated(draw: st.DrawFn, genuine: Sequence[Any], *, most: int = 3) -> Any:
    """Give one of the genuine documents with up to ``most`` changes; with none it is as it was."""
    document = copy.deepcopy(draw(st.sampled_from(genuine)))
    for _ in range(draw(st.integers(0, most))):
        document = _change(draw, document)
    return document


def mutated_text(genuine: Sequence[str]) -> st.SearchStrategy[str]:
    """Give JSON texts: changed as documents, cut, spliced, or any text at all."""
    documents = [json.loads(text) for text in genuine]
    whole = mutated(documents).map(json.dumps)
    return st.one_of(whole, _spliced(st.one_of(st.sampled_from(genuine), whole)), st.text(max_size=40))


@st.composite
def _spliced(draw: st.DrawFn, texts: st.SearchStrategy[str]) -> str:
    text = draw(texts)
    at = draw(st.integers(0, len(text)))
    gone = draw(st.integers(0, 8))
    between = draw(
        st.one_of(TEXTS, st.sampled_from(['"', "{", "[" * 2_000, "}", ",", "\\u0000", "9" * 5_000]))
    )
    return text[:at] + between + text[at + gone :]


def _change(draw: st.DrawFn, document: Any) -> Any:
    path = draw(st.sampled_from(list(_paths(document))))
    if not path:
        return draw(ANYTHING) if draw(st.integers(0, 9)) == 0 else _grown(draw, document)
    parent: Any = _at(document, path[:-1])
    kind = draw(st.sampled_from(["replace", "replace", "remove", "grow", "repeat", "tweak"]))
    if kind == "replace":
        parent[path[-1]] = draw(ANYTHING)
    elif kind == "remove":
        del parent[path[-1]]
    elif kind == "repeat" and isinstance(parent, list):
        parent.append(copy.deepcopy(_at(document, path)))
    elif kind == "tweak":
        parent[path[-1]] = _tweaked(draw, parent[path[-1]])
    else:
        parent[path[-1]] = _grown(draw, parent[path[-1]])
    return document


def _grown(draw: st.DrawFn, value: Any) -> Any:
    if isinstance(value, dict):
        return value | {draw(TEXTS): draw(ANYTHING)}
    if isinstance(value, list):
        return [*value, draw(ANYTHING)]
    return [value]


def _tweaked(draw: st.DrawFn, value: Any) -> Any:
    if isinstance(value, bool) or value is None:
        return draw(st.sampled_from([True, False, None]))
    if isinstance(value, int | float):
        return draw(st.sampled_from([value + 1, value - 1, -value, value * 10, float(value), str(value)]))
    if isinstance(value, str):
        return draw(st.sampled_from([value[:-1], value + draw(TEXTS), value.upper(), value * 30]))
    return type(value)()


def _paths(document: Any, above: Path = ()) -> Iterator[Path]:
    yield above
    items: Any = ()
    if isinstance(document, dict):
        items = document.items()
    elif isinstance(document, list):
        items = enumerate(document)
    for name, value in items:
        yield from _paths(value, (*above, name))


def _at(document: Any, path: Path) -> Any:
    for name in path:
        document = document[name]
    return document
