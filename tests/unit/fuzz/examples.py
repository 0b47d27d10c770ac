"""How many examples a fuzz test takes: few among the tests, FUZZ_TIMES as many in a long run."""

import os
from collections.abc import Callable

from hypothesis import HealthCheck, settings


def fuzz(usual: int = 150) -> Callable[..., Callable[..., None]]:
    """Give the settings of a fuzz test; ``usual`` is its number of examples when nobody asks for more.

    A short run takes the same examples every time, so that it fails for who broke it.
    """
    times = int(os.environ.get("FUZZ_TIMES") or 1)
    return settings(
        max_examples=usual * times,
        derandomize=times == 1,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )
