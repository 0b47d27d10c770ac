"""Lines of the log: what they are about, in the text and as fields, and one line stays one."""

import asyncio
import logging

import pytest

from shared.logs import About, FailuresTold, about, logger, now_about

LOG = logger("tests")
SAGA = About("run-1", "saga-1", 2, "capturing")


def test_a_line_begins_with_what_it_is_about_and_carries_it_as_fields(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with about(SAGA):
        LOG.warning("%s failed: %d", "sf-1-os", 429)

    [record] = caplog.records
    assert record.getMessage() == "run=run-1 saga=saga-1 generation=2 step=capturing: sf-1-os failed: 429"
    assert [getattr(record, name) for name in ("run", "saga", "generation", "step")] == [
        "run-1",
        "saga-1",
        2,
        "capturing",
    ]
    assert (record.name, record.filename) == ("stillframe.tests", "test_logs.py")


def test_a_line_about_nothing_or_about_a_run_says_no_more_than_is_known(
    caplog: pytest.LogCaptureFixture,
) -> None:
    LOG.warning("100 % sure")
    with about(About("run-1")):
        LOG.warning("3 VMs")

    assert [record.getMessage() for record in caplog.records] == ["100 % sure", "run=run-1: 3 VMs"]
    assert not hasattr(caplog.records[0], "run")


def test_what_others_say_stays_in_its_line_and_behind_what_the_line_is_about(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with about(SAGA):
        LOG.warning("the guest said: %s", "x\n2026 WARNING run=other saga=other: all is well\x1b[2J")

    message = caplog.records[0].getMessage()
    assert "\n" not in message
    assert "\x1b" not in message
    assert message.startswith("run=run-1 saga=saga-1 ")
    assert "\\n2026 WARNING" in message


def test_a_block_ends_with_what_lines_were_about_before(caplog: pytest.LogCaptureFixture) -> None:
    with about(About("run-1")):
        with about(SAGA):
            now_about(About("run-1", "saga-1", 3, "arming"))
            LOG.warning("inner")
        LOG.warning("outer")

    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "run=run-1 saga=saga-1 generation=3 step=arming",
        "run=run-1",
    ]


async def test_tasks_of_different_sagas_do_not_mix(caplog: pytest.LogCaptureFixture) -> None:
    async def work(saga: str) -> None:
        with about(About("run-1", saga, 1, "arming")):
            await asyncio.sleep(0)
            LOG.warning("it is %s", saga)

    await asyncio.gather(*(work(f"saga-{number}") for number in range(5)))

    assert len(caplog.records) == 5
    assert all(record.getMessage().endswith(f"it is {record.saga}") for record in caplog.records)  # type: ignore[attr-defined]


def test_what_ends_a_block_is_told_while_it_is_known_what_it_was_about(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(ValueError, match="no answer"), about(SAGA), FailuresTold(LOG):
        raise ValueError("no answer")
    with pytest.raises(KeyError), about(SAGA), FailuresTold(LOG, LookupError):
        raise KeyError("foreseen")

    [record] = caplog.records
    assert record.getMessage().endswith("step=capturing: its message failed: ValueError: no answer")


def test_nothing_is_put_together_that_nobody_wants(caplog: pytest.LogCaptureFixture) -> None:
    class Never:
        def __str__(self) -> str:
            raise AssertionError

    caplog.set_level(logging.ERROR, "stillframe")
    LOG.info("%s", Never())
