"""Records survive their way through JSON, and what does not fit is refused by name."""

import json
from dataclasses import fields
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.policy.snapshots import SnapshotSettings
from shared.saga.codec import decode, decode_any, encode
from shared.saga.effects import Effect, Watch
from shared.saga.errors import UnreadableRecordError
from shared.saga.events import CaptureEnded, Cleaned, CopiesSeen, Event, Started, TimePassed
from shared.saga.state import Phase, SagaState
from tests.unit.saga import strategies
from tests.unit.saga.build import captured, completing

EVENTS: tuple[type, ...] = get_args(Event)
EFFECTS: tuple[type, ...] = get_args(Effect)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def through_json(record: Any) -> Any:
    return json.loads(json.dumps(encode(record)))


@pytest.mark.parametrize("kind", [*EVENTS, *EFFECTS], ids=lambda kind: kind.__name__)
@given(data=st.data())
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
def test_every_event_and_effect_comes_back_as_it_was(kind: type, data: st.DataObject) -> None:
    record = data.draw(strategies.of(kind))
    stored = through_json(record)

    assert decode_any(Event if kind in EVENTS else Effect, stored) == record
    assert decode(kind, stored) == record


@given(state=strategies.of(SagaState))
@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_every_state_comes_back_as_it_was(state: SagaState) -> None:
    assert decode(SagaState, through_json(state)) == state


def test_the_state_of_a_real_walk_comes_back_as_it_was() -> None:
    state = completing().state

    assert state.phase is Phase.COMPLETING
    assert decode(SagaState, through_json(state)) == state


@pytest.mark.parametrize(
    "member", [f.name for f in fields(SagaState) if f.name not in ("spec", "started_at")]
)
def test_a_member_that_an_older_record_lacks_takes_its_default(member: str) -> None:
    stored = through_json(completing().state)
    del stored[member]
    default = decode(SagaState, {"spec": stored["spec"], "started_at": 1})

    assert getattr(decode(SagaState, stored), member) == getattr(default, member)


def test_a_member_that_this_version_does_not_know_is_left_alone() -> None:
    assert decode(TimePassed, {"type": "TimePassed", "watch": 3, "of_tomorrow": {}}) == TimePassed(3)


@pytest.mark.parametrize(
    ("data", "path", "expected"),
    [
        ({"captures": []}, "CaptureEnded.generation", "to be there"),
        ({"generation": "1", "captures": []}, "CaptureEnded.generation", "int"),
        ({"generation": True, "captures": []}, "CaptureEnded.generation", "int"),
        ({"generation": 1, "captures": {}}, "CaptureEnded.captures", "a list"),
        ({"generation": 1, "captures": [None]}, "CaptureEnded.captures[0]", "a DiskCapture"),
        (
            {"generation": 1, "captures": [], "restore_point": 3},
            "CaptureEnded.restore_point",
            "one of RestorePointReport, NoneType",
        ),
        ({"type": "Cleaned", "generation": 1, "captures": []}, "CaptureEnded", "a CaptureEnded"),
        ([], "CaptureEnded", "a CaptureEnded"),
        (None, "CaptureEnded", "a CaptureEnded"),
    ],
)
def test_what_does_not_fit_is_refused_and_named(data: Any, path: str, expected: str) -> None:
    with pytest.raises(UnreadableRecordError) as refused:
        decode(CaptureEnded, data)

    assert (refused.value.path, refused.value.expected) == (path, expected)


@pytest.mark.parametrize("pair", [[], ["name"], ["name", "value", "more"]])
def test_a_pair_has_two_items(pair: list[str]) -> None:
    with pytest.raises(UnreadableRecordError) as refused:
        decode(SnapshotSettings, encode(SnapshotSettings()) | {"tags": [pair]})

    assert refused.value.path == "SnapshotSettings.tags[0]"


def test_a_fault_deep_inside_is_named_by_its_whole_path() -> None:
    stored = through_json(captured())
    stored["captures"][1]["put_sent_at"] = "yesterday"
    with pytest.raises(UnreadableRecordError) as refused:
        decode(CaptureEnded, stored)

    assert refused.value.path == "CaptureEnded.captures[1].put_sent_at"


@pytest.mark.parametrize("data", [{"type": "Nothing"}, {"type": None}, {}, "Started", 3, None, []])
def test_a_record_of_no_known_type_is_refused(data: Any) -> None:
    for kinds in (Event, Effect):
        with pytest.raises(UnreadableRecordError):
            decode_any(kinds, data)


def test_an_event_is_not_read_as_an_effect_nor_as_another_event() -> None:
    with pytest.raises(UnreadableRecordError):
        decode_any(Effect, encode(Cleaned()))
    with pytest.raises(UnreadableRecordError):
        decode(Watch, encode(Started()))


@pytest.mark.parametrize("percent", [10**400, "100", None, True])
def test_a_percentage_that_is_no_number_is_refused(percent: Any) -> None:
    stored = {"copies": [{"snapshot_id": "s", "completion_percent": percent}]}
    with pytest.raises(UnreadableRecordError):
        decode(CopiesSeen, stored)


def test_a_whole_percentage_is_a_percentage() -> None:
    stored = {"copies": [{"snapshot_id": "s", "completion_percent": 100}]}
    assert decode(CopiesSeen, stored).copies[0].completion_percent == 100.0


@given(data=JSON)
def test_any_other_json_is_refused_and_never_anything_else(data: Any) -> None:
    for kinds in (Event, Effect):
        with pytest.raises(UnreadableRecordError):
            decode_any(kinds, data)


@given(data=st.data(), kind=st.sampled_from([*EVENTS, *EFFECTS, SagaState]))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_a_record_with_a_damaged_member_is_read_or_refused_never_anything_else(
    data: st.DataObject, kind: type
) -> None:
    stored = through_json(data.draw(strategies.of(kind)))
    stored[data.draw(st.sampled_from(sorted(stored)))] = data.draw(JSON)
    try:
        record: object = decode(kind, stored)
    except UnreadableRecordError:
        return
    assert isinstance(record, kind)


def test_a_record_that_cannot_be_read_says_where_and_what_would_be_right() -> None:
    error = UnreadableRecordError("state.phase", "a phase")

    assert str(error) == "state.phase: expected a phase"
    assert (error.path, error.expected) == ("state.phase", "a phase")
