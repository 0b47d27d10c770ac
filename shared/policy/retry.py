"""Whether a VM whose saga failed is tried again in the same run, and when."""

from dataclasses import dataclass

from shared.policy.fields import DocumentError, Fields

#: Bounds of what a policy may ask for (times in ms).
MOST_ATTEMPTS, LONGEST_DELAY_MS, LARGEST_GROWTH = 10, 24 * 3_600_000, 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """A failed VM is tried ``attempts`` times more, if what it failed by can pass by waiting.

    The first of them comes ``delay_ms`` after the failure, each further one ``growth`` times as late, but
    never later than ``longest_delay_ms``.
    """

    attempts: int = 0
    delay_ms: int = 60_000
    growth: float = 2.0
    longest_delay_ms: int = 3_600_000

    def delay_before(self, try_number: int) -> int:
        """Give how long the try of this number (the first of all is 1) waits after the last one, in ms."""
        delay = self.delay_ms * self.growth ** max(0, try_number - 2)
        return int(min(delay, self.longest_delay_ms))


NO_RETRY = Retry()


def read_retry(fields: Fields) -> Retry:
    """Read the member ``retry``; missing means that nothing is tried again.

    Raises:
        DocumentError: names the field that is wrong.
    """
    if not fields.has("retry"):
        return NO_RETRY
    known = ("attempts", "delay_ms", "growth", "longest_delay_ms")
    own = Fields(fields.raw("retry"), fields.at("retry"), known)
    delay = own.whole("delay_ms", NO_RETRY.delay_ms, least=1_000, most=LONGEST_DELAY_MS)
    usual = max(delay, NO_RETRY.longest_delay_ms)
    return Retry(
        attempts=own.whole("attempts", 1, least=0, most=MOST_ATTEMPTS),
        delay_ms=delay,
        growth=_growth(own),
        longest_delay_ms=own.whole("longest_delay_ms", usual, least=delay, most=LONGEST_DELAY_MS),
    )


def _growth(fields: Fields) -> float:
    value = fields.raw("growth")
    if value is None:
        return NO_RETRY.growth
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= LARGEST_GROWTH:
        raise DocumentError(fields.at("growth"), f"expected a number from 1 to {LARGEST_GROWTH:g}")
    return float(value)
