"""Whether members share one instant, and how far apart their snapshots lie, from what each of them says."""

from dataclasses import replace

import pytest

from shared.saga.barriers import shares_instant
from shared.saga.chain import CLOCK_TOLERANCE_MS
from shared.saga.evidence import Evidence
from shared.saga.one_instant import Share, share_of, skew_ms, why_not_one_instant
from tests.unit.saga.build import T0, whole_evidence

LATE = CLOCK_TOLERANCE_MS + 1


def together(evidence: Evidence | None = None) -> Evidence:
    """Give evidence of a member: all held at T0, all captured when it was ordered to resume."""
    base = evidence or whole_evidence()
    return replace(base, all_held_at=T0, all_captured_at=base.resume_ordered_at)


def share(held_from: int = 0, held_until: int = 2_000, first: int = 500, last: int = 600) -> Share:
    return Share(
        held_from=T0 + held_from,
        held_until=T0 + held_until,
        first=T0 + first,
        last=T0 + last,
        window_ms=3_000,
    )


def test_a_whole_chain_within_the_barriers_proves_a_members_share() -> None:
    assert shares_instant(together())


@pytest.mark.parametrize(
    "lacking",
    [
        replace(together(), all_held_at=None),
        replace(together(), all_captured_at=None),
        replace(together(), quiesced=None),
        replace(together(), resumed=None),
        replace(together(), resume_ordered_at=None),
        replace(together(), captured_at=None),
        replace(together(), all_held_at=T0 + LATE),
        replace(together(), all_captured_at=T0 + 1_200 + LATE),
        replace(together(), captures=together().captures[1:]),
    ],
)
def test_with_less_of_it_nothing_is_proved(lacking: Evidence) -> None:
    assert not shares_instant(lacking)


def test_clocks_may_differ_by_as_much_as_is_tolerated() -> None:
    evidence = together()
    assert evidence.resume_ordered_at is not None
    as_late = evidence.resume_ordered_at + CLOCK_TOLERANCE_MS

    assert shares_instant(replace(evidence, all_captured_at=as_late))
    assert not shares_instant(replace(evidence, all_captured_at=as_late + 1))


def test_an_anchors_instant_is_its_own() -> None:
    evidence = together()
    assert evidence.quiesced is not None

    assert not shares_instant(replace(evidence, quiesced=replace(evidence.quiesced, anchored=True)))


def test_a_share_says_when_all_were_held_and_when_its_own_snapshots_were_taken() -> None:
    assert share_of(together()) == Share(
        held_from=T0, held_until=T0 + 1_200, first=T0 + 100, last=T0 + 100, window_ms=3_400
    )
    assert share_of(whole_evidence()) is None


def test_the_skew_is_between_the_first_and_the_last_snapshot_of_all_members() -> None:
    assert skew_ms([share(first=500, last=600), share(first=300, last=450)]) == 300
    assert skew_ms([]) is None


def test_members_that_were_held_at_one_time_share_it() -> None:
    assert why_not_one_instant([share(), share(held_from=100, held_until=1_900)]) == ""


@pytest.mark.parametrize(
    ("shares", "why"),
    [
        ([], "does not say"),
        ([share(), None], "does not say"),
        ([share(), share(held_from=2_000 + LATE, held_until=20_000, first=8_000, last=8_000)], "no moment"),
        ([share(), share(first=-LATE)], "older"),
        ([share(), share(last=2_000 + LATE)], "younger"),
    ],
)
def test_a_clock_that_contradicts_takes_the_claim_away(shares: list[Share | None], why: str) -> None:
    assert why in why_not_one_instant(shares)


def test_the_barriers_are_part_of_what_the_digest_covers_and_change_no_digest_without_them() -> None:
    alone = whole_evidence()

    assert replace(alone, all_held_at=None).digest() == alone.digest()
    assert together().digest() != alone.digest()
