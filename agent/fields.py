"""Reading the members of a command's body: each is of the right kind, or the error names it."""

from typing import Any, Dict, List, Tuple

from shared import protocol

#: No time in a command may be longer than a day (ms).
LONGEST_MS = 24 * 60 * 60 * 1000


class Body:
    """One JSON object of a body; ``path`` says where it stands, for errors.

    Every method raises ``protocol.Malformed``, with the member's path and what would be right.
    """

    def __init__(self, value: Any, path: str) -> None:
        if not isinstance(value, dict):
            raise protocol.Malformed(path, "a JSON object")
        self._members = value
        self.path = path

    def at(self, name: str) -> str:
        """Give the path of a member."""
        return self.path + "." + name

    def has(self, name: str) -> bool:
        """Say whether a member is there and not null."""
        return self._members.get(name) is not None

    def get(self, name: str) -> Any:
        """Give a member as it is; None where it is missing."""
        return self._members.get(name)

    def text(self, name: str, default: str = "") -> str:
        """Read a text without NUL; a missing one is ``default``."""
        value = self._members.get(name, default)
        if not isinstance(value, str) or "\0" in value:
            raise protocol.Malformed(self.at(name), "a text")
        return value

    def choice(self, name: str, choices: Tuple[str, ...], default: str) -> str:
        """Read one of ``choices``."""
        value = self._members.get(name, default)
        if value not in choices:
            raise protocol.Malformed(self.at(name), "one of " + ", ".join(choices))
        return str(value)

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Read true or false."""
        value = self._members.get(name, default)
        if not isinstance(value, bool):
            raise protocol.Malformed(self.at(name), "true or false")
        return value

    def whole(self, name: str, default: int, most: int) -> int:
        """Read a whole number from 0 to ``most``."""
        value = self._members.get(name, default)
        if type(value) is not int or not 0 <= value <= most:
            raise protocol.Malformed(self.at(name), "a whole number from 0 to {}".format(most))
        return value

    def duration(self, name: str) -> int:
        """Read a time that must be there, in ms."""
        value = self._members.get(name)
        if type(value) is not int or not 0 < value <= LONGEST_MS:
            raise protocol.Malformed(self.at(name), "whole ms from 1 to {}".format(LONGEST_MS))
        return value

    def texts(self, name: str) -> Tuple[str, ...]:
        """Read a list of texts without NUL; missing means empty."""
        value = self._list(name, "a list of texts")
        if any(not isinstance(item, str) or "\0" in item for item in value):
            raise protocol.Malformed(self.at(name), "a list of texts")
        return tuple(value)

    def numbers(self, name: str, default: Tuple[int, ...]) -> Tuple[int, ...]:
        """Read a list of whole numbers."""
        if name not in self._members:
            return default
        value = self._list(name, "a list of whole numbers")
        if any(type(item) is not int for item in value):
            raise protocol.Malformed(self.at(name), "a list of whole numbers")
        return tuple(value)

    def table(self, name: str) -> Tuple[Tuple[str, str], ...]:
        """Read an object of texts, in the order of its names; missing means empty."""
        value = self._members.get(name, {})
        if not isinstance(value, dict):
            raise protocol.Malformed(self.at(name), "a JSON object of texts")
        for item in value.values():
            if not isinstance(item, str) or "\0" in item:
                raise protocol.Malformed(self.at(name), "a JSON object of texts")
        return tuple(sorted(value.items()))

    def _list(self, name: str, expected: str) -> List[Any]:
        value = self._members.get(name, [])
        if not isinstance(value, list):
            raise protocol.Malformed(self.at(name), expected)
        return value


def body_of(members: Dict[str, Any]) -> Body:
    """Read the body of a command."""
    return Body(members, "body")
