"""Numbers for values: a state of the model is a few of them, and what is pure is worked out once."""

from collections.abc import Hashable


class Table[T: Hashable]:
    """Gives every value that it is shown a number, and the value back for the number."""

    def __init__(self) -> None:
        self._numbers: dict[T, int] = {}
        self._values: list[T] = []

    def number(self, value: T) -> int:
        """Give the number of a value; equal values have one."""
        known = self._numbers.get(value)
        if known is None:
            known = self._numbers[value] = len(self._values)
            self._values.append(value)
        return known

    def value(self, number: int) -> T:
        """Give the value that has this number."""
        return self._values[number]

    def __len__(self) -> int:
        return len(self._values)
