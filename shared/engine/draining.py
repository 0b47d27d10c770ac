"""Draining: no new run begins, what is under way comes to its end. For upgrades (docs/upgrade.md)."""


class Draining(Exception):
    """No new run begins: the app is being drained."""

    def __init__(self) -> None:
        super().__init__(
            "the app is being drained (STILLFRAME_DRAIN): no new run begins until that is over; "
            "runs under way come to their end. Ask again later"
        )
