"""How long a queue listener waits after an empty poll, and a lease after a failed renewal."""

from collections.abc import Callable

MINIMUM_POLL_S = 0.1  # QueuePollingIntervals.Minimum of the queues extension


class PollBackoff:
    """Delays between empty polls, in seconds: the minimum after work, then randomly doubled, to a maximum.

    The rule of RandomizedExponentialBackoffStrategy (Microsoft.Azure.WebJobs.Host, Timers): minimum, then
    minimum + random(0.8 .. 1.2) * 2^(n-1) * minimum. `uniform(low, high)` supplies the randomness.
    """

    def __init__(self, *, maximum_s: float, uniform: Callable[[float, float], float]) -> None:
        if maximum_s < MINIMUM_POLL_S:
            raise ValueError(f"the longest delay, {maximum_s} s, is shorter than {MINIMUM_POLL_S} s")
        self._maximum_s = maximum_s
        self._uniform = uniform
        self._current_s = 0.0
        self._exponent = 0

    def next_delay(self, *, found_messages: bool) -> float:
        """The delay after this empty poll; `found_messages`: was anything received since the last delay?"""
        if found_messages:
            self._current_s = MINIMUM_POLL_S
            self._exponent = 1
        elif self._current_s != self._maximum_s:
            self._grow()
        return self._current_s

    def _grow(self) -> None:
        delay = MINIMUM_POLL_S
        if self._exponent:
            delay += self._uniform(0.8, 1.2) * 2 ** (self._exponent - 1) * MINIMUM_POLL_S
        if delay < self._maximum_s:
            self._current_s = delay
            self._exponent += 1
        else:
            self._current_s = self._maximum_s


class RenewalPace:
    """When to renew a message's invisibility next, in seconds: half its length, sooner after a failure.

    The rule of LinearSpeedupStrategy (Microsoft.Azure.WebJobs.Host, Timers): each failure halves the
    interval, down to a minute; a success restores it.
    """

    def __init__(self, *, normal_s: float, minimum_s: float = 60.0) -> None:
        self._normal_s = normal_s
        self._minimum_s = min(minimum_s, normal_s)
        self.interval_s = normal_s

    def succeeded(self) -> None:
        """Back to the normal pace."""
        self.interval_s = self._normal_s

    def failed(self) -> None:
        """Try again sooner."""
        self.interval_s = max(self.interval_s / 2, self._minimum_s)
