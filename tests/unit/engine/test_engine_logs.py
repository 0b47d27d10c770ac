"""Every line of the app about a saga says which run, saga, generation and step, whatever goes wrong."""

import logging
from collections.abc import Callable

import pytest
from azure.core.exceptions import ServiceRequestError

from shared.compute.errors import Throttled
from shared.engine.queue_names import StepMessage
from shared.saga.names import saga_id
from shared.storage.sagas import StoredSaga
from tests.unit.engine.fake_compute import vm_id
from tests.unit.engine.house import VM, House
from tests.unit.engine.interruptions import Interruptions, When

FIELDS = ("run", "saga", "generation", "step")


def script_fails(house: House) -> None:
    house.guest().script_fails = True


def guest_warns(house: House) -> None:
    house.guest().warnings = [
        {"kind": "handler", "name": "postgresql:5432", "code": "probe_failed", "detail": "no\nanswer"}
    ]


def capture_fails(house: House) -> None:
    house.compute.failing_disks = {"db-1-os"}


def azure_refuses(house: House) -> None:
    house.compute.errors["read_facts"] = [Throttled("TooManyRequests", "slow down") for _ in range(2)]


TROUBLES: dict[str, Callable[[House], None]] = {
    "none": lambda _house: None,
    "script": script_fails,
    "warning": guest_warns,
    "capture": capture_fails,
    "azure": azure_refuses,
}


def lines(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name.startswith("stillframe.")]


def fields(record: logging.LogRecord) -> tuple[object, ...]:
    return tuple(getattr(record, name, None) for name in FIELDS)


@pytest.mark.parametrize("name", TROUBLES)
@pytest.mark.parametrize("dies_at", [0, 5, 9, 14])
async def test_every_line_about_a_saga_has_its_four_names_in_text_and_fields(
    name: str, dies_at: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "stillframe")
    house = House(Interruptions(dies_at, When.AFTER)) if dies_at else House()
    TROUBLES[name](house)
    run = await house.ask()
    await house.settle()
    saga = (await house.view(run))["saga"]
    steps = set()

    for record in lines(caplog):
        if not hasattr(record, "saga"):
            assert record.getMessage().startswith(f"run={run}: "), record.getMessage()
            assert saga not in record.getMessage()
            continue
        of_run, of_saga, generation, step = fields(record)
        assert (of_run, of_saga) == (run, saga)
        named = f"run={run} saga={saga} generation={generation} step={step}: "
        assert record.getMessage().startswith(named)
        assert "\n" not in record.getMessage()
        steps.add(step)
    assert {"preflight", "arming", "cleaning", "done"} <= steps


async def test_the_lines_of_many_sagas_at_once_do_not_mix(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "stillframe")
    house = House()
    vms = [vm_id(f"db-{number}") for number in range(12)]
    run = await house.ask(*vms)
    await house.settle()
    view = await house.app.reading.run(run)
    names = {entry["saga"]: entry["vm"] for entry in view["vms"]}
    ends = [record for record in lines(caplog) if "stillframe ended:" in record.getMessage()]

    assert len(ends) == len(vms)
    assert all(f"vm={names[str(fields(record)[1])]} " in record.getMessage() for record in ends)


async def test_the_end_of_a_saga_that_went_wrong_is_told_with_its_step_and_what_to_do(
    caplog: pytest.LogCaptureFixture,
) -> None:
    house = House()
    script_fails(house)
    run = await house.ask(on_guest_failure="fail")
    await house.settle()
    problem = (await house.view(run))["problem"]
    short = (await house.app.reading.run(run))["vms"][0]["problem"]
    [end] = [record for record in lines(caplog) if "stillframe ended:" in record.getMessage()]

    assert end.levelname == "WARNING"
    assert f"vm={VM} outcome=failed" in end.getMessage()
    assert "failing step: quiescing. db-1 could not be held still: " in end.getMessage()
    assert problem["what_to_do"] in end.getMessage()
    assert short == {"sentence": problem["sentence"], "step": "quiescing"}
    assert (problem["cause"], problem["code"]) == ("quiesce_failed", "script_failed")


async def test_a_step_whose_saga_cannot_be_read_is_told_with_run_and_saga(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    house = House()
    run = await house.ask()
    saga = saga_id(run, VM)

    async def away(_saga_id: str) -> StoredSaga:
        raise ServiceRequestError("the table service is away")

    monkeypatch.setattr(house.sagas, "load", away)
    with pytest.raises(ServiceRequestError):
        await house.app.steps.take(StepMessage(run, saga, VM, watch=1))

    [line] = [record for record in lines(caplog) if "its message failed" in record.getMessage()]
    assert fields(line) == (run, saga, 0, "pending")
    assert line.getMessage().endswith("ServiceRequestError: the table service is away")
