"""How many examples a fuzz test takes: few among the tests, as many as FUZZ_EXAMPLES says in a long run."""

import os
from collections.abc import Callable

from hypothesis import HealthCheck, settings


def fuzz(usual: int = 150) -> Callable[..., Callable[..., None]]:
    """Give the settings of a fuzz test; ``usual`` is its number of examples when nobody asks for more."""
    examples = int(os.environ.get("FUZZ_EXAMPLES") or usual)
    return settings(
        max_examples=examples,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )
