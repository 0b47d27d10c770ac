"""Reading how many at once, in which order, and what is tried again."""

from typing import Any

import pytest

from shared.policy.concurrency import ADMISSION_TIMEOUT_MS, Concurrency, Order, read_concurrency
from shared.policy.fields import DocumentError, Fields
from shared.policy.retry import NO_RETRY, Retry, read_retry


def fields(**members: Any) -> Fields:
    return Fields(members, "", ("concurrency", "retry"))


def test_without_the_members_nothing_is_limited_and_nothing_is_tried_again() -> None:
    assert read_concurrency(fields()) == Concurrency(admission_timeout_ms=ADMISSION_TIMEOUT_MS)
    assert read_concurrency(fields()).vms_at_once == 0
    assert read_retry(fields()) == NO_RETRY


def test_every_member_is_read() -> None:
    asked = {"vms": 50, "held": 10, "order": "name", "admission_timeout_ms": 60_000}

    assert read_concurrency(fields(concurrency=asked)) == Concurrency(
        vms=50, held=10, order=Order.NAME, admission_timeout_ms=60_000
    )


def test_who_limits_only_the_held_arms_ten_times_as_many() -> None:
    assert read_concurrency(fields(concurrency={"held": 3})).vms_at_once == 30
    assert read_concurrency(fields(concurrency={"held": 3, "vms": 5})).vms_at_once == 5


def test_a_retry_that_says_nothing_more_is_one() -> None:
    assert read_retry(fields(retry={})) == Retry(attempts=1)


def test_delays_grow_up_to_the_longest() -> None:
    retry = read_retry(
        fields(retry={"attempts": 5, "delay_ms": 10_000, "growth": 3, "longest_delay_ms": 100_000})
    )

    assert [retry.delay_before(number) for number in range(2, 7)] == [
        10_000,
        30_000,
        90_000,
        100_000,
        100_000,
    ]


def test_a_delay_beyond_the_usual_longest_raises_it() -> None:
    assert read_retry(fields(retry={"delay_ms": 7_200_000})).longest_delay_ms == 7_200_000


@pytest.mark.parametrize(
    ("member", "value", "field", "told"),
    [
        ("concurrency", [], "concurrency", "expected a JSON object"),
        ("concurrency", {"held": 0}, "concurrency.held", "expected a whole number from 1 to 10000"),
        ("concurrency", {"held": True}, "concurrency.held", "expected a whole number from 1 to 10000"),
        ("concurrency", {"vms": 10_001}, "concurrency.vms", "expected a whole number from 1 to 10000"),
        ("concurrency", {"vms": 2, "held": 3}, "concurrency.held", "expected at most 2"),
        ("concurrency", {"order": "tags"}, "concurrency.order", "expected one of listed, name"),
        ("concurrency", {"hold": 3}, "concurrency.hold", "did you mean held?"),
        (
            "concurrency",
            {"admission_timeout_ms": 10},
            "concurrency.admission_timeout_ms",
            "expected a whole number from 1000 to 14400000",
        ),
        ("retry", {"attempts": 11}, "retry.attempts", "expected a whole number from 0 to 10"),
        ("retry", {"delay_ms": 999}, "retry.delay_ms", "expected a whole number from 1000 to 86400000"),
        ("retry", {"growth": 0.5}, "retry.growth", "expected a number from 1 to 10"),
        ("retry", {"growth": True}, "retry.growth", "expected a number from 1 to 10"),
        (
            "retry",
            {"delay_ms": 5_000, "longest_delay_ms": 4_000},
            "retry.longest_delay_ms",
            "expected a whole number from 5000 to 86400000",
        ),
        ("retry", {"tries": 3}, "retry.tries", "did you mean"),
    ],
)
def test_what_is_wrong_is_told_by_its_field(member: str, value: Any, field: str, told: str) -> None:
    read = read_concurrency if member == "concurrency" else read_retry
    with pytest.raises(DocumentError) as raised:
        read(fields(**{member: value}))

    assert raised.value.field == field
    assert told in raised.value.problem or told == "did you mean"
