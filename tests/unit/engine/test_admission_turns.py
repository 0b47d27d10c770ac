"""Who waits for requests to Azure: in turn, seldom asking, called when others give something back."""

import heapq
from dataclasses import dataclass, field, replace

import pytest

from shared.compute.remaining import RemainingSeen
from shared.engine.places import LONGEST_WAIT_MS, SOON_MS
from shared.engine.request_budget import (
    MOST_WAITING,
    READS,
    READS_PER_S,
    TURN_KEPT_MS,
    Grant,
    RequestBudget,
    call,
    settle,
    take,
    told,
)

NOW = 1_800_000_000_000


def ask(budget: RequestBudget, saga: str, now: int, reads: int = 24) -> tuple[RequestBudget, int]:
    return take(budget, Grant(saga, 1, 3, reads, 0), now, run="run", vm=f"vm-{saga}")


def waiting(*sagas: str, reads: int = 24) -> RequestBudget:
    """All is spent, and these wait."""
    budget, _ = ask(RequestBudget(), "first", NOW, int(READS))
    for saga in sagas:
        budget, until = ask(budget, saga, NOW, reads)
        assert until
    return budget


def names(turns: tuple[object, ...]) -> list[str]:
    return [str(getattr(one, "saga", one)) for one in turns]


def test_each_is_told_to_come_when_all_before_it_have_been_served() -> None:
    budget = waiting("a", "b", "c")
    times = [one.again_at - NOW for one in budget.waiting]
    assert times == [pytest.approx(n * 24 / READS_PER_S * 1_000, abs=2) for n in (1, 2, 3)]
    for saga, one in zip("abc", budget.waiting, strict=True):
        budget, until = ask(budget, saga, one.again_at)
        assert not until
    assert budget.waiting == ()


def test_who_comes_later_and_needs_less_is_not_served_before_those_who_wait() -> None:
    budget = waiting("large", reads=100)
    later = NOW + 1_000  # 20 reads have come back: enough for a small one, were it alone
    budget, until = ask(budget, "small", later, reads=8)
    assert until > later
    assert names(budget.waiting) == ["large", "small"]


def test_asking_again_keeps_the_turn() -> None:
    budget = waiting("a", "b")
    budget, until = ask(budget, "a", NOW + 500)
    assert until
    assert names(budget.waiting) == ["a", "b"]


def test_what_is_given_back_calls_those_for_whom_it_is_enough_once() -> None:
    budget = settle(waiting("a", "b", "c"), "first", 1, NOW, writes=3, reads=int(READS) - 60)
    budget, called = call(budget, NOW)
    assert [(one.saga, one.run, one.vm) for one in called] == [("a", "run", "vm-a"), ("b", "run", "vm-b")]
    assert call(budget, NOW) == (budget, ())
    for saga in "ab":
        budget, until = ask(budget, saga, NOW + 10)
        assert not until
    assert names(budget.waiting) == ["c"]


def test_nobody_is_called_who_asks_soon_or_cannot_be_or_while_azure_wants_patience() -> None:
    budget = settle(waiting("a"), "first", 1, NOW, writes=3, reads=0)
    soon = budget.waiting[0].again_at - SOON_MS
    assert call(budget, soon)[1] == ()
    assert call(replace(budget, waiting=(replace(budget.waiting[0], vm=""),)), NOW)[1] == ()
    closed = told(
        budget, RemainingSeen(at=NOW, writes=None, reads=None, closed_until=NOW + 9, provider={}), NOW
    )
    assert call(closed, NOW)[1] == ()


def test_who_gives_up_or_is_not_heard_of_again_keeps_nobody_waiting() -> None:
    budget = settle(waiting("a", "b"), "a", 1, NOW, writes=0, reads=0)
    assert names(budget.waiting) == ["b"]
    gone = budget.waiting[0].again_at + TURN_KEPT_MS
    assert ask(budget, "c", gone)[0].waiting == ()


def test_no_more_turns_are_kept_than_fit_and_nobody_waits_longer_than_a_minute_to_ask() -> None:
    budget = waiting(*(f"saga-{number:03}" for number in range(MOST_WAITING + 20)))
    assert len(budget.waiting) == MOST_WAITING
    assert max(one.again_at for one in budget.waiting) == NOW + LONGEST_WAIT_MS + 1
    assert ask(budget, "late", NOW)[1] == NOW + LONGEST_WAIT_MS + 1


@dataclass
class Run:
    """A run of VMs that all ask at once; each that is served gives back after 3 s what it did not need."""

    vms: int
    uses: int
    budget: RequestBudget = field(default_factory=RequestBudget)
    asks: dict[str, int] = field(default_factory=dict)
    served: dict[str, int] = field(default_factory=dict)

    def go(self) -> "Run":
        due = [(NOW, 0, f"saga-{number:04}", "ask") for number in range(self.vms)]
        heapq.heapify(due)
        while due:
            now, order, saga, what = heapq.heappop(due)
            if what == "settle":
                after = settle(self.budget, saga, 1, now, writes=3, reads=self.uses)
                self.budget, called = call(after, now)
                for one in called:
                    heapq.heappush(due, (now + 200, order + 1, one.saga, "ask"))
                continue
            if saga in self.served:  # a reminder from before it was called
                continue
            self.asks[saga] = self.asks.get(saga, 0) + 1
            self.budget, until = ask(self.budget, saga, now)
            if until:
                heapq.heappush(due, (until, order + 1, saga, "ask"))
            else:
                self.served[saga] = now
                heapq.heappush(due, (now + 3_000, order + 1, saga, "settle"))
        return self


@pytest.mark.parametrize(("vms", "most"), [(20, 3), (100, 3), (600, 10)])
def test_many_that_wait_ask_a_few_times_each_and_none_is_forgotten(vms: int, most: int) -> None:
    run = Run(vms, uses=9).go()
    assert len(run.served) == vms
    total = sum(run.asks.values())
    assert total / vms <= most
    needed_s = (vms * 9 - READS) / READS_PER_S
    assert (max(run.served.values()) - NOW) / 1_000 <= max(15.0, 1.5 * needed_s)
