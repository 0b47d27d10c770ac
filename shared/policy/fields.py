"""Reading what people write: one clear error that names the field and says what would be right."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from enum import StrEnum
from typing import Any


class DocumentError(Exception):
    """A document is wrong at ``field`` (a path like ``guest_processing.attempts``); ``problem`` says how."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class Fields:
    """The members of one JSON object, read by name and kind. Unknown members are an error."""

    def __init__(self, data: Any, path: str, known: Iterable[str]) -> None:
        self.path = path
        if not isinstance(data, Mapping):
            raise DocumentError(path or "document", "expected a JSON object")
        names = tuple(known)
        for name in data:
            if name not in names:
                raise DocumentError(self.at(str(name)) or "document", _unknown(str(name), names))
        self._data = data

    def at(self, name: str) -> str:
        """Give the path of a member."""
        return f"{self.path}.{name}" if self.path else name

    def has(self, name: str) -> bool:
        """Whether a member is there and not null."""
        return self._data.get(name) is not None

    def names(self, name: str) -> bool:
        """Whether a member is there, be it null."""
        return name in self._data

    def raw(self, name: str) -> Any:
        """Give a member as it is; None when it is missing."""
        return self._data.get(name)

    def text(self, name: str, default: str | None = None, *, longest: int = 1024) -> str:
        """Read a text that is not empty."""
        value = self._data.get(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, str) or not value.strip() or len(value) > longest:
            raise DocumentError(self.at(name), f"expected a text of 1 to {longest} characters")
        return value

    def whole(self, name: str, default: int, *, least: int, most: int) -> int:
        """Read a whole number within bounds."""
        value = self._data.get(name, default)
        if type(value) is not int or not least <= value <= most:
            raise DocumentError(self.at(name), f"expected a whole number from {least} to {most}")
        return value

    def wholes(
        self, name: str, default: tuple[int, ...], *, most: int, least: int, largest: int
    ) -> tuple[int, ...]:
        """Read a list of whole numbers, each within bounds."""
        value = self._data.get(name)
        if value is None:
            return default
        if not isinstance(value, list) or len(value) > most:
            raise DocumentError(self.at(name), f"expected a list of at most {most} whole numbers")
        for index, item in enumerate(value):
            if type(item) is not int or not least <= item <= largest:
                problem = f"expected a whole number from {least} to {largest}"
                raise DocumentError(f"{self.at(name)}[{index}]", problem)
        return tuple(value)

    def flag(self, name: str, *, default: bool) -> bool:
        """Read true or false."""
        value = self._data.get(name, default)
        if not isinstance(value, bool):
            raise DocumentError(self.at(name), "expected true or false")
        return value

    def choice[E: StrEnum](self, name: str, kind: type[E], default: E) -> E:
        """Read one of the values of an enumeration."""
        value = self._data.get(name, default.value)
        try:
            return kind(value)
        except ValueError:
            raise DocumentError(self.at(name), "expected one of " + ", ".join(kind)) from None

    def texts(self, name: str, *, most: int, longest: int = 1024) -> tuple[str, ...]:
        """Read a list of texts; missing means empty."""
        value = self._data.get(name)
        if value is None:
            return ()
        if not isinstance(value, list) or len(value) > most:
            raise DocumentError(self.at(name), f"expected a list of at most {most} texts")
        for index, item in enumerate(value):
            if not isinstance(item, str) or len(item) > longest:
                problem = f"expected a text of at most {longest} characters"
                raise DocumentError(f"{self.at(name)}[{index}]", problem)
        return tuple(value)

    def table(self, name: str, *, most: int, longest: int) -> tuple[tuple[str, str], ...]:
        """Read an object whose values are texts; missing means empty."""
        value = self._data.get(name)
        if value is None:
            return ()
        if not isinstance(value, Mapping) or len(value) > most:
            raise DocumentError(self.at(name), f"expected a JSON object of at most {most} texts")
        for key, item in value.items():
            if not isinstance(item, str) or len(item) > longest:
                problem = f"expected a text of at most {longest} characters"
                raise DocumentError(f"{self.at(name)}.{key}", problem)
        return tuple(sorted(value.items()))


def _unknown(name: str, names: tuple[str, ...]) -> str:
    near = get_close_matches(name.lower(), names, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(names)}"
    return f"unknown field; {hint}"
