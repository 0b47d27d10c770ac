"""Settings for the tests of what is asked for."""

from collections.abc import Iterator, Mapping


class Asked(Mapping[str, str]):
    """Settings that remember which of them were asked for."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.names.add(name)
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)
