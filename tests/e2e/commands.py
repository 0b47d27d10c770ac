"""What came of a command of the command line."""

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Ended:
    """How it ended, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)
