"""As much of the Kusto Query Language as the alerts and the workbook use, run over rows at hand.

A name that no column has, and anything that is not known here, is an error: no such query may be taken for
one that finds nothing. Semantics are Microsoft's ("Kusto Query Language", the operators of these names).
"""

import re
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]

_TOKEN = re.compile(
    r"\s*(?:('[^']*')|(\d+(?:\.\d+)?[dhms]?)|(!in\b|[A-Za-z_][\w.]*)|(==|!=|>=|<=|[-+*/<>=(),:]))"
)
_SECONDS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_STAGE = re.compile(r"^\|", re.MULTILINE)


class QueryError(Exception):
    """A query asks for a column that is not there, or has a form that is not known here."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


def run(query: str, tables: Mapping[str, Sequence[Row]], columns: Mapping[str, Iterable[str]]) -> list[Row]:
    """Give the rows that a query finds. ``columns`` are those of each table, filled in the rows or not."""
    table, *stages = _STAGE.split(query)
    name = table.strip()
    if name not in columns:
        raise QueryError(f"no table {name}")
    rows: list[Row] = [dict.fromkeys(columns[name], None) | dict(row) for row in tables.get(name, ())]
    known = set(columns[name])
    for stage in stages:
        operator, _, rest = stage.strip().partition(" ")
        if operator not in _OPERATORS:
            raise QueryError(f"no operator {operator}")
        rows, known = _OPERATORS[operator](rest, rows, known)
    return rows


Stage = Callable[[str, list[Row], set[str]], tuple[list[Row], set[str]]]


def _where(text: str, rows: list[Row], known: set[str]) -> tuple[list[Row], set[str]]:
    test = _Reader(text, known).whole(_Reader.either)
    return [row for row in rows if test(row)], known


def _parse_where(text: str, rows: list[Row], known: set[str]) -> tuple[list[Row], set[str]]:
    column, _, pattern = text.partition(" with ")
    if column not in known:
        raise QueryError(f"no column {column}")
    expression, kinds = "", dict[str, str]()
    parts = re.findall(r"'[^']*'|\*|\w+(?::\w+)?", pattern)
    for position, part in enumerate(parts):
        last = position == len(parts) - 1
        if part.startswith("'"):
            expression += re.escape(part[1:-1])
        elif part == "*":
            expression += ".*" if last else ".*?"
        else:
            name, _, kind = part.partition(":")
            kinds[name] = kind or "string"
            body = r"-?\d+" if kind == "long" else ".*" if last else ".*?"
            expression += f"(?P<{name}>{body})"
    found: list[Row] = []
    for row in rows:
        match = re.fullmatch(expression, str(row[column]), re.DOTALL)
        if match is not None:
            values = {
                name: int(match[name]) if kind == "long" else match[name] for name, kind in kinds.items()
            }
            found.append({**row, **values})
    return found, known | kinds.keys()


def _extend(text: str, rows: list[Row], known: set[str]) -> tuple[list[Row], set[str]]:
    named = _Reader(text, known).whole(_Reader.named_list)
    values = [{name: value(row) for name, value in named} for row in rows]
    return [{**row, **more} for row, more in zip(rows, values, strict=True)], known | {
        name for name, _ in named
    }


def _project(text: str, rows: list[Row], known: set[str]) -> tuple[list[Row], set[str]]:
    named = _Reader(text, known).whole(_Reader.named_list)
    return [{name: value(row) for name, value in named} for row in rows], {name for name, _ in named}


def _summarize(text: str, rows: list[Row], known: set[str]) -> tuple[list[Row], set[str]]:
    told, _, by = text.partition(" by ")
    aggregates = _Reader(told, known).whole(_Reader.aggregates)
    keys = _Reader(by, known).whole(_Reader.named_list)
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(value(row) for _, value in keys), []).append(row)
    names = {name for name, _ in keys} | {name for each in aggregates for name in each.names}
    found: list[Row] = []
    for key, group in groups.items():
        values = dict(zip((name for name, _ in keys), key, strict=True))
        for each in aggregates:
            values |= dict(zip(each.names, each.of(group), strict=True))
        found.append(values)
    return found, names


def _order(text: str, rows: list[Row], known: set[str]) -> tuple[list[Row], set[str]]:
    for each in reversed(text.removeprefix("by ").split(",")):
        column, direction = each.split()
        if column not in known:
            raise QueryError(f"no column {column}")
        rows = sorted(rows, key=lambda row, column=column: row[column], reverse=direction == "desc")  # type: ignore[misc]
    return rows, known


def _take(text: str, rows: list[Row], known: set[str]) -> tuple[list[Row], set[str]]:
    return rows[: int(text)], known


_OPERATORS: Mapping[str, Stage] = {
    "where": _where,
    "parse-where": _parse_where,
    "extend": _extend,
    "project": _project,
    "summarize": _summarize,
    "order": _order,
    "take": _take,
}

Value = Callable[[Row], Any]


@dataclass(frozen=True, slots=True)
class _Aggregate:
    names: tuple[str, ...]
    of: Callable[[list[Row]], Sequence[Any]]


_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    ">=": lambda left, right: left >= right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    "<": lambda left, right: left < right,
    "contains": lambda left, right: str(right).lower() in str(left).lower(),
}
_SCALARS: Mapping[str, Callable[..., Any]] = {
    "bin": lambda value, size: value // size * size,
    "strcat": lambda *parts: "".join(map(str, parts)),
    "tostring": str,
}
_AGGREGATES: Mapping[str, Callable[..., Any]] = {
    "count": len,
    "sum": sum,
    "max": max,
    "percentile": lambda values, percent: statistics.quantiles([*values, *values], n=100)[percent[0] - 1],
}


class _Reader:
    """Reads an expression from left to right, and makes functions of a row out of it."""

    def __init__(self, text: str, known: set[str]) -> None:
        self._known = known
        self._tokens: list[str] = []
        position = 0
        while text[position:].strip():
            found = _TOKEN.match(text, position)
            if found is None:
                raise QueryError(f"what is {text[position:]}?")
            self._tokens.append(found[0].strip())
            position = found.end()

    def whole[T](self, read: Callable[["_Reader"], T]) -> T:
        """Read all of it."""
        value = read(self)
        if self._tokens:
            raise QueryError(f"what is {' '.join(self._tokens)}?")
        return value

    def either(self) -> Value:
        value = self._both()
        while self._took("or"):
            left, right = value, self._both()
            value = lambda row, left=left, right=right: left(row) or right(row)  # type: ignore[misc]  # noqa: E731
        return value

    def named_list(self) -> list[tuple[str, Value]]:
        """Give ``name = value`` or a column, with commas between."""
        found = []
        while True:
            name = self._next()
            if self._took("="):
                found.append((name, self.either()))
            else:
                found.append((name, self._column(name)))
            if not self._took(","):
                return found

    def aggregates(self) -> list[_Aggregate]:
        found = []
        while True:
            name = self._next()
            if name == "arg_max":
                found.append(self._arg_max())
            else:
                self._expect("=")
                found.append(_Aggregate((name,), self._arithmetic_of_aggregates()))
            if not self._took(","):
                return found

    def _arithmetic_of_aggregates(self) -> Callable[[list[Row]], Sequence[Any]]:
        above = self._aggregate()
        if not self._took("/"):
            return lambda rows: [above(rows)]
        below = self._aggregate()
        return lambda rows: [above(rows) / below(rows)]

    def _aggregate(self) -> Callable[[list[Row]], Any]:
        name = self._next()
        if name not in _AGGREGATES:
            raise QueryError(f"no aggregate {name}")
        values = self._arguments()
        if not values:
            return _AGGREGATES[name]
        first, *others = values
        constants = [[value({}) for value in others]] if others else []
        return lambda rows: _AGGREGATES[name]([first(row) for row in rows], *constants)

    def _arg_max(self) -> _Aggregate:
        self._expect("(")
        named = self.named_list()
        self._expect(")")
        by = named[0][1]
        return _Aggregate(
            tuple(name for name, _ in named),
            lambda rows: [value(max(rows, key=by)) for _, value in named],
        )

    def _both(self) -> Value:
        value = self._comparison()
        while self._took("and"):
            left, right = value, self._comparison()
            value = lambda row, left=left, right=right: left(row) and right(row)  # type: ignore[misc]  # noqa: E731
        return value

    def _comparison(self) -> Value:
        left = self._product()
        for word in ("in", "!in"):
            if self._took(word):
                values = self._arguments()
                wanted = word == "in"
                return lambda row: (left(row) in [value(row) for value in values]) is wanted
        for operator, compare in _COMPARISONS.items():
            if self._took(operator):
                right = self._product()
                return lambda row, compare=compare: compare(left(row), right(row))  # type: ignore[misc]
        return left

    def _product(self) -> Value:
        value = self._primary()
        while self._tokens and self._tokens[0] in "*/":
            times, left, right = self._next() == "*", value, self._primary()
            value = lambda row, t=times, le=left, ri=right: le(row) * ri(row) if t else le(row) / ri(row)  # type: ignore[misc]  # noqa: E731
        return value

    def _primary(self) -> Value:
        token = self._next()
        if token == "(":
            inside = self.either()
            self._expect(")")
            return inside
        if token[0] == "'":
            return lambda _row: token[1:-1]
        if token[0].isdigit():
            number = _number(token)
            return lambda _row: number
        if self._tokens and self._tokens[0] == "(":
            if token not in _SCALARS:
                raise QueryError(f"no function {token}")
            values = self._arguments()
            return lambda row: _SCALARS[token](*(value(row) for value in values))
        return self._column(token)

    def _arguments(self) -> list[Value]:
        self._expect("(")
        values: list[Value] = []
        while not self._took(")"):
            values.append(self.either())
            self._took(",")
        return values

    def _column(self, name: str) -> Value:
        column, *inside = name.split(".")
        if column not in self._known:
            raise QueryError(f"no column {column}")
        if not inside:
            return lambda row: row[column]
        return lambda row: row[column][".".join(inside)]

    def _next(self) -> str:
        if not self._tokens:
            raise QueryError("it ends too early")
        return self._tokens.pop(0)

    def _took(self, token: str) -> bool:
        if self._tokens[:1] != [token]:
            return False
        self._tokens.pop(0)
        return True

    def _expect(self, token: str) -> None:
        if not self._took(token):
            raise QueryError(f"expected {token} before {' '.join(self._tokens)}")


def _number(token: str) -> float:
    if token[-1] in _SECONDS:
        return float(token[:-1]) * _SECONDS[token[-1]]
    return float(token) if "." in token else int(token)
