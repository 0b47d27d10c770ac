"""Genuine JSON documents with something wrong, for the tests of what reads bytes from outside.

Hypothesis draws a seed, and the changes follow from it: drawing each of them costs ten times as much, and a
failure is as well repeated.
"""

import copy
import json
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

from hypothesis import strategies as st

#: Texts that have broken readers: empty, blank, NUL, half of a surrogate pair, letters that change their
#: length or become ASCII's with their case, signs that mean something to somebody, long ones.
TEXTS: list[str] = [
    *["", " ", "\0", "a\0b", "\ud800", "\udfffx", "\u202e", "\u0130", "\u212a", "\u017f", "\x1c", "\n", "ü"],
    *["\U0001f4a9", "%", "%%", "%vmName%", "%x%", "../..", "/", "C:\\x", "NaN", "0", "-1", "1e5", "null"],
    *["[", "http://[", "a/b#c?d", "x" * 65, "x" * 257, "x" * 1025, "9" * 400, "true", "Succeeded"],
    *["2026-13-40T99:99:99Z", "0001-01-01T00:00:00Z"],
]  # fmt: skip
NUMBERS: list[int | float] = [
    *[-1, 0, 1, 2, 255, 2**31, 2**32, 2**53, 2**53 + 1, 2**63, 2**64, 10**40, -(10**40), 10**400],
    *[0.0, -0.0, 0.5, 1.0, 1e9, 1e308, float("inf"), float("-inf"), float("nan")],
]

#: What is put between the characters of a text.
SPLICES: list[str] = [
    *[*TEXTS, '"', "{", "}", "]", ",", ":", "\\u0000", "\\ud800", "[" * 3_000, "9" * 5_000, "1e999"],
]  # fmt: skip

Path = tuple[str | int, ...]


def mutated(genuine: Sequence[Any], *, most: int = 3) -> st.SearchStrategy[Any]:
    """Give the genuine documents with up to ``most`` changes; with none they are as they were."""
    return _seeded(lambda random: changed(random, random.choice(genuine), random.randint(0, most)))


def mutated_text(genuine: Sequence[str]) -> st.SearchStrategy[str]:
    """Give texts: genuine ones, JSON changed as a document, both with pieces cut out and put in, any text."""

    def text(random: Random) -> str:
        given = random.choice(genuine)
        if random.random() < 0.4:
            given = json.dumps(changed(random, json.loads(given), random.randint(1, 3)))
        return spliced(random, given, random.randint(0, 3))

    return _seeded(text)


def spliced_text(genuine: Sequence[str]) -> st.SearchStrategy[str]:
    """Give texts that are no JSON, with pieces cut out and put in."""
    return _seeded(lambda random: spliced(random, random.choice(genuine), random.randint(0, 4)))


def anything() -> st.SearchStrategy[Any]:
    """Give any JSON, small."""
    return _seeded(any_json)


def _seeded[T](make: Callable[[Random], T]) -> st.SearchStrategy[T]:
    return st.binary(min_size=8, max_size=8).map(lambda seed: make(Random(seed)))


def any_json(random: Random, depth: int = 2) -> Any:
    """Make any JSON."""
    kind = random.randrange(7 if depth else 5)
    if kind == 0:
        return None
    if kind == 1:
        return random.choice([True, False])
    if kind == 2:
        return random.choice(NUMBERS)
    if kind in (3, 4):
        return random.choice(TEXTS)
    values = [any_json(random, depth - 1) for _ in range(random.randint(0, 3))]
    return values if kind == 5 else {random.choice(TEXTS): value for value in values}


def changed(random: Random, document: Any, times: int) -> Any:
    """Change a document."""
    document = copy.deepcopy(document)
    for _ in range(times):
        document = _change(random, document)
    return document


def spliced(random: Random, text: str, times: int) -> str:
    """Cut pieces out of a text, and put others in."""
    for _ in range(times):
        at, gone = random.randint(0, len(text)), random.choice([0, 0, 1, 3, 20, len(text)])
        text = text[:at] + random.choice(SPLICES) + text[at + gone :]
    return text


def _change(random: Random, document: Any) -> Any:
    path = random.choice(list(_paths(document)))
    if not path:
        return any_json(random) if random.random() < 0.1 else _grown(random, document)
    parent: Any = _at(document, path[:-1])
    value = parent[path[-1]]
    kind = random.choice(["replace", "replace", "remove", "grow", "repeat", "tweak", "tweak"])
    if kind == "remove":
        del parent[path[-1]]
    elif kind == "repeat" and isinstance(parent, list):
        parent.append(copy.deepcopy(value))
    elif kind == "replace":
        parent[path[-1]] = any_json(random)
    elif kind == "tweak":
        parent[path[-1]] = _tweaked(random, value)
    else:
        parent[path[-1]] = _grown(random, value)
    return document


def _grown(random: Random, value: Any) -> Any:
    if isinstance(value, dict):
        return value | {random.choice(TEXTS): any_json(random)}
    if isinstance(value, list):
        return [*value, any_json(random)]
    return [value]


def _tweaked(random: Random, value: Any) -> Any:
    if isinstance(value, bool) or value is None:
        return random.choice([True, False, None])
    if isinstance(value, int | float):
        return random.choice([value + 1, value - 1, -value, value * 10, str(value), *NUMBERS])
    if isinstance(value, str):
        return random.choice([value[:-1], value + random.choice(TEXTS), value.upper(), value * 30])
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
