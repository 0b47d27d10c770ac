"""The budget of requests: in no time more than Azure allows, whoever takes, whatever the clocks say."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.compute.remaining import RemainingSeen
from shared.engine.places import LONGEST_WAIT_MS
from shared.engine.request_budget import (
    GRANT_KEPT_MS,
    READS,
    READS_PER_S,
    WRITES,
    WRITES_PER_S,
    Grant,
    RequestBudget,
    settle,
    take,
    told,
)

NOW = 1_800_000_000_000


def grant(saga: str = "a", writes: int = 3, reads: int = 24, generation: int = 1) -> Grant:
    return Grant(saga, generation, writes, reads, 0)


def seen(
    *, writes: int | None = None, reads: int | None = None, closed_until: int = 0, **provider: int
) -> RemainingSeen:
    return RemainingSeen(at=NOW, writes=writes, reads=reads, closed_until=closed_until, provider=provider)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 3_000),  # pause before it
            st.integers(-2_000, 2_000),  # how far this instance's clock is off
            st.integers(1, 30),  # disks
        ),
        min_size=1,
        max_size=120,
    )
)
def test_no_time_span_has_more_grants_than_bucket_and_refill_whatever_the_clocks(
    asks: list[tuple[int, int, int]],
) -> None:
    skew_ms, budget, true_now = 2_000, RequestBudget(), NOW
    taken: list[tuple[int, int, int]] = []
    for number, (pause, skew, disks) in enumerate(asks):
        true_now += pause
        wanted = grant(f"saga-{number}", disks, disks * 8)
        budget, until = take(budget, wanted, true_now + skew)
        assert bool(until) is not any(one.saga == wanted.saga for one in budget.grants)
        if not until:
            taken.append((true_now, disks, min(disks * 8, int(READS))))
        assert budget.writes >= -1e-6
        assert budget.reads >= -1e-6

    for index, (begin, _, _) in enumerate(taken):
        for end in range(index, len(taken)):
            span_s = (taken[end][0] - begin + 2 * skew_ms) / 1_000
            within = taken[index : end + 1]
            assert sum(writes for _, writes, _ in within) <= WRITES + WRITES_PER_S * span_s + 1e-6
            assert sum(reads for _, _, reads in within) <= READS + READS_PER_S * span_s + 1e-6


def test_who_must_wait_is_admitted_when_it_comes_back_as_told() -> None:
    budget, _ = take(RequestBudget(), grant("first", 150, 200), NOW)
    budget, until = take(budget, grant("second", 20, 100), NOW)

    assert until == NOW + 5_001
    assert take(budget, grant("second", 20, 100), until)[1] == 0


def test_asking_again_for_the_same_generation_takes_nothing() -> None:
    once, _ = take(RequestBudget(), grant(), NOW)
    again, until = take(once, grant(), NOW)

    assert until == 0
    assert again == once
    assert take(once, grant(generation=2), NOW)[0].writes == once.writes - 3


def test_a_vm_that_needs_more_than_the_bucket_holds_is_admitted_when_it_is_full() -> None:
    huge = grant("huge", 500, 4_000)
    budget, until = take(RequestBudget(), huge, NOW)

    assert until == 0
    assert (budget.writes, budget.reads) == (0, 0)


def test_a_429_closes_the_budget_for_everybody_until_azure_says() -> None:
    budget = told(RequestBudget(), seen(closed_until=NOW + 17_000), NOW)

    assert take(budget, grant(), NOW)[1] == NOW + 17_000
    assert take(budget, grant(), NOW + 17_000)[1] == 0


def test_what_azure_says_remains_lowers_the_budget_and_never_raises_it() -> None:
    low = told(RequestBudget(), seen(writes=2, reads=7), NOW)
    assert (low.writes, low.reads) == (2, 7)

    assert told(low, seen(writes=199, reads=249), NOW) == low
    assert told(low, None, NOW) == low
    assert take(low, grant(), NOW)[1] > NOW


def test_the_providers_bucket_is_spent_and_fills_again_over_its_window() -> None:
    name = "HighCostSnapshotCreateHydrate3Min"
    budget = told(RequestBudget(), seen(**{name: 5}), NOW)
    budget, until = take(budget, grant("a", 3), NOW)
    assert until == 0

    budget, until = take(budget, grant("b", 3), NOW)
    assert NOW < until <= NOW + LONGEST_WAIT_MS
    assert take(budget, grant("b", 3), until)[1] == 0


def test_buckets_that_are_not_about_snapshots_are_no_matter() -> None:
    budget = told(RequestBudget(), seen(LowCostGet3Min=0, UpdateVM3Min=0), NOW)

    assert take(budget, grant(), NOW)[1] == 0


def test_what_was_not_needed_is_given_back_once() -> None:
    budget, _ = take(RequestBudget(), grant("a", 3, 24), NOW)
    once = settle(budget, "a", 1, NOW, writes=3, reads=9)

    assert once.writes == WRITES - 3
    assert once.reads == READS - 9
    assert settle(once, "a", 1, NOW, writes=0, reads=0) == once


def test_more_than_was_taken_is_not_given_back_and_more_than_it_holds_it_never_holds() -> None:
    budget, _ = take(RequestBudget(), grant("a", 3, 24), NOW)

    assert settle(budget, "a", 1, NOW, writes=9, reads=99).reads == READS - 24
    assert settle(budget, "a", 1, NOW + 60_000, writes=0, reads=0).reads == READS


def test_an_older_clock_takes_no_time_back() -> None:
    budget, _ = take(RequestBudget(), grant("a", 150), NOW)
    behind, until = take(budget, grant("b", 1), NOW - 5_000)

    assert behind.at == NOW
    assert until > NOW - 5_000


def test_grants_are_not_remembered_for_ever() -> None:
    budget, _ = take(RequestBudget(), grant("a"), NOW)
    later, _ = take(budget, grant("b"), NOW + GRANT_KEPT_MS)

    assert [one.saga for one in later.grants] == ["b"]


@pytest.mark.parametrize("share", ["writes", "reads"])
def test_our_bucket_is_smaller_than_azures(share: str) -> None:
    azure = {"writes": (200, 10), "reads": (250, 25)}[share]
    ours = {"writes": (WRITES, WRITES_PER_S), "reads": (READS, READS_PER_S)}[share]

    assert ours < azure
    assert replace(RequestBudget(), at=NOW).writes == WRITES
