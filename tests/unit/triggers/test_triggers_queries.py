"""The parameters of queries are read strictly, and what is wrong is told by name."""

from datetime import UTC, datetime

import azure.functions as func
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.policy.fields import DocumentError
from shared.saga.consistency import Grade
from shared.triggers import queries


def asked(**params: str) -> func.HttpRequest:
    return func.HttpRequest(method="GET", url="https://app.invalid/api", params=params, body=b"")


def test_what_is_not_asked_for_has_its_usual_value() -> None:
    nothing = asked()
    queries.only(nothing)
    assert queries.read_limit(nothing) == 100
    assert queries.read_continuation(nothing) == ""
    assert queries.read_moment(nothing, "since") is None
    assert queries.read_text(nothing, "vm") is None
    assert queries.read_choice(nothing, "grade", Grade) is None


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "ten", "1.0", "", " 1", "²", "9" * 5000])
def test_a_limit_out_of_bounds_is_refused(limit: str) -> None:
    with pytest.raises(DocumentError) as refused:
        queries.read_limit(asked(limit=limit))
    assert refused.value.field == "limit"


def test_limits_within_bounds_are_taken() -> None:
    assert [queries.read_limit(asked(limit=limit)) for limit in ("1", "1000")] == [1, 1000]


@given(st.text(st.characters(categories=("L", "N", "P")), min_size=1, max_size=300))
def test_a_continuation_comes_back_as_it_was_given_out(place: str) -> None:
    opaque = queries.write_continuation(place)
    assert opaque is not None
    if len(opaque) <= queries.LONGEST_CONTINUATION:
        assert queries.read_continuation(asked(continuation=opaque)) == place


@pytest.mark.parametrize("made_up", ["", "=", "a", "gICA", "AAAA", "not opaque", "a" * 2049])
def test_a_continuation_that_nobody_gave_out_is_refused(made_up: str) -> None:
    with pytest.raises(DocumentError) as refused:
        queries.read_continuation(asked(continuation=made_up))
    assert refused.value.field == "continuation"


def test_the_end_has_no_continuation() -> None:
    assert queries.write_continuation("") is None


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-11-24T03:00:00Z", datetime(2026, 11, 24, 3, tzinfo=UTC)),
        ("2026-11-24t03:00:00z", datetime(2026, 11, 24, 3, tzinfo=UTC)),
        ("2026-11-24T04:00:00+01:00", datetime(2026, 11, 24, 3, tzinfo=UTC)),
        ("1969-12-31T23:59:59.9999Z", datetime(1969, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)),
    ],
)
def test_a_time_with_its_zone_is_an_instant(text: str, at: datetime) -> None:
    assert queries.read_moment(asked(since=text), "since") == round(at.timestamp() * 1000)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-24T03:00:00",  # whose morning?
        "2026-11-24T03:00:00 01:00",  # a plus that was not written %2B
        "2026-11-24",
        "2026-02-30T00:00:00Z",
        "2026-11-24T25:00:00Z",
        "2026-11-24T03:00:00+99:99",
        "last Tuesday",
        "",
    ],
)
def test_what_is_no_instant_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(DocumentError, match="2026-11-24T03:00:00Z") as refused:
        queries.read_moment(asked(until=text), "until")
    assert refused.value.field == "until"


def test_a_choice_names_what_there_is() -> None:
    assert queries.read_choice(asked(grade="crash"), "grade", Grade) is Grade.CRASH
    with pytest.raises(DocumentError, match="expected one of application, filesystem, crash") as refused:
        queries.read_choice(asked(grade="perfect"), "grade", Grade)
    assert refused.value.field == "grade"


@pytest.mark.parametrize("text", ["", "  ", "x" * 1025, "a\nb"])
def test_a_text_that_cannot_be_meant_is_refused(text: str) -> None:
    with pytest.raises(DocumentError) as refused:
        queries.read_text(asked(vm=text), "vm")
    assert refused.value.field == "vm"


def test_a_parameter_that_does_not_exist_is_refused_with_the_nearest_name() -> None:
    queries.only(asked(policy="p", code="the key", clientId="its name"), "policy", "vm")
    with pytest.raises(DocumentError, match="did you mean policy") as refused:
        queries.only(asked(polcy="p"), "policy", "vm")
    assert refused.value.field == "polcy"
    with pytest.raises(DocumentError, match="known here: policy, vm"):
        queries.only(asked(colour="red"), "policy", "vm")
