"""A saga's times follow from its history."""

from typing import Any

from shared.saga.history import HistoryEntry
from shared.saga.timeline import Hold, PhaseStart, Timeline, timeline_of

T0 = 1_800_000_000_000


def entry(at: int, event: str, to: str, entered: int = 1, **detail: Any) -> HistoryEntry:
    return HistoryEntry(
        at=T0 + at, event=event, from_phase="", to_phase=to, generation=entered, effects=(), detail=detail
    )


def quiesced(at: int, generation: int = 1, **more: Any) -> HistoryEntry:
    report = {"quiesce_ms": 300, "budget_left_ms": 29_700, "anchored": False, **more}
    return entry(at, "Quiesced", "capturing", generation, generation=generation, report=report)


def captured(at: int, generation: int, *instants: int | None) -> HistoryEntry:
    captures = [{"time_created": None if each is None else T0 + each} for each in instants]
    return entry(at, "CaptureEnded", "resuming", generation, generation=generation, captures=captures)


def resumed(at: int, generation: int, window: int, by: str = "order") -> HistoryEntry:
    report = {"window_ms": window, "released_by": by}
    return entry(at, "Resumed", "completing", generation, generation=generation, report=report)


def test_the_common_path_has_its_phases_one_window_and_its_snapshots() -> None:
    history = [
        entry(0, "Started", "preflight", 0),
        entry(100, "FactsRead", "arming"),
        entry(2_000, "AgentReady", "quiescing"),
        quiesced(2_500),
        captured(3_000, 1, 2_700, 2_650),
        resumed(3_200, 1, 900),
        entry(3_300, "CopiesSeen", "completing"),
        entry(9_000, "CopiesSeen", "cleaning"),
        entry(9_100, "Cleaned", "done"),
    ]
    timeline = timeline_of(history)
    assert [(start.phase, start.at - T0) for start in timeline.phases] == [
        ("preflight", 0), ("arming", 100), ("quiescing", 2_000), ("capturing", 2_500), ("resuming", 3_000),
        ("completing", 3_200), ("cleaning", 9_000), ("done", 9_100),
    ]  # fmt: skip
    window = Hold(generation=1, start=T0 + 2_200, limit=T0 + 32_200, end=T0 + 3_100, released_by="order")
    assert timeline.holds == (window,)
    assert timeline.snapshots == (T0 + 2_650, T0 + 2_700)


def test_a_window_stays_open_until_the_guest_says_that_it_ended() -> None:
    [hold] = timeline_of([entry(0, "AgentReady", "quiescing"), quiesced(500)]).holds
    assert (hold.end, hold.released_by) == (None, "")


def test_another_generation_has_a_window_and_an_arming_of_its_own() -> None:
    history = [
        entry(0, "FactsRead", "arming"),
        entry(10, "AgentReady", "quiescing"),
        quiesced(500),
        captured(900, 1, None),
        entry(1_000, "Resumed", "arming", 2, generation=1, report={"window_ms": 700, "released_by": "agent"}),
        entry(1_100, "AgentReady", "quiescing", 2),
        quiesced(1_600, 2),
        captured(2_000, 2, 1_700),
        resumed(2_100, 2, 600),
    ]
    timeline = timeline_of(history)
    assert [(hold.generation, hold.released_by) for hold in timeline.holds] == [(1, "agent"), (2, "order")]
    assert timeline.snapshots == (T0 + 1_700,)
    assert [start.generation for start in timeline.phases if start.phase == "arming"] == [1, 2]


def test_arming_that_is_begun_again_at_once_starts_again() -> None:
    history = [
        entry(0, "FactsRead", "arming", 1),
        entry(60, "TimePassed", "arming", 1),
        entry(90, "TimePassed", "arming", 2),
    ]
    assert timeline_of(history).phases == (PhaseStart("arming", T0, 1), PhaseStart("arming", T0 + 90, 2))


def test_a_window_with_an_anchor_ended_when_the_anchor_was_there() -> None:
    history = [quiesced(500, anchored=True, budget_left_ms=600_000), captured(60_000, 1, 30_000)]
    [hold] = timeline_of(history).holds
    assert (hold.anchored, hold.end) == (True, T0 + 500)
    assert hold.limit > T0 + 600_000
    [after] = timeline_of([*history, resumed(61_000, 1, 280)]).holds
    assert (after.end, after.limit) == (hold.start + 280, hold.limit)


def test_a_window_that_would_end_after_its_end_was_told_began_earlier() -> None:
    [hold] = timeline_of([quiesced(500), resumed(1_000, 1, 900)]).holds
    assert (hold.start, hold.end, hold.limit) == (T0 + 100, T0 + 1_000, T0 + 30_100)


def test_a_word_of_a_window_that_was_never_told_is_no_window() -> None:
    assert timeline_of([resumed(100, 1, 50)]).holds == ()
    assert timeline_of([]) == Timeline()
