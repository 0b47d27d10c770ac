import pytest

from local.arm.faults import Fault
from local.arm.settings import SimSettings
from shared.compute.errors import Conflict, NotFound, NotOurs, Refused, Unavailable
from tests.integration.compute.conftest import SAGA, TAGS, Azure, lost_answer, serving


async def captured(azure: Azure) -> list[str]:
    captures = await azure.capture(await azure.targets())
    assert all(capture.captured for capture in captures)
    return [capture.snapshot_id for capture in captures]


def tags_of(azure: Azure, snapshot_id: str) -> dict[str, str]:
    return dict(azure.world.resources.snapshots[snapshot_id.lower()].tags)


async def test_the_copy_of_an_ultra_disk_takes_its_time_and_that_of_others_is_done() -> None:
    settings = SimSettings(capture_gap_s=0.0, background_copy_s=3600.0)
    async with serving(settings=settings) as azure:
        ids = await captured(azure)

        copies, lost = await azure.compute.look_at_copies(ids)

    assert [copy.snapshot_id for copy in copies] == ids
    assert [copy.completion_percent for copy in copies[:2]] == [100.0, 100.0]
    assert copies[2].completion_percent < 100
    assert lost == ()


async def test_snapshots_that_are_gone_or_failed_are_lost(azure: Azure) -> None:
    targets = await azure.targets()
    azure.fault(Fault(method="PUT", path_contains="-os", operation_fails=("InternalServerError", "sorry")))
    await azure.capture(targets)
    missing = f"{targets[0].snapshot_id}-missing"

    copies, lost = await azure.compute.look_at_copies([targets[0].snapshot_id, missing])

    assert copies == ()
    assert lost == (targets[0].snapshot_id, missing)


async def test_a_service_that_is_down_loses_no_snapshot(azure: Azure) -> None:
    ids = await captured(azure)
    azure.fault(Fault(method="GET", path_contains="-os", status=500), times=10)

    with pytest.raises(Unavailable):
        await azure.compute.look_at_copies(ids)


async def test_tags_are_added_to_those_that_are_there(azure: Azure) -> None:
    [snapshot_id, *_] = await captured(azure)

    await azure.compute.tag(snapshot_id, {"stillframe-grade": "application", "stillframe-run": "r2"})

    assert tags_of(azure, snapshot_id) == {
        **TAGS,
        "stillframe-run": "r2",
        "stillframe-grade": "application",
    }


async def test_tagging_twice_sends_nothing_the_second_time(azure: Azure) -> None:
    [snapshot_id, *_] = await captured(azure)
    for _ in range(2):
        await azure.compute.tag(snapshot_id, {"stillframe-grade": "crash"})

    assert len(azure.requests("PATCH")) == 1


async def test_a_snapshot_that_is_gone_cannot_be_tagged(azure: Azure) -> None:
    [target, *_] = await azure.targets()

    with pytest.raises(NotFound):
        await azure.compute.tag(target.snapshot_id, {"a": "b"})


async def test_a_deleted_snapshot_is_really_gone_and_deleting_it_again_is_fine() -> None:
    async with serving(settings=SimSettings(capture_gap_s=0.0, delete_latency_s=0.3)) as azure:
        [snapshot_id, *_] = await captured(azure)

        for _ in range(2):
            await azure.compute.delete(snapshot_id, SAGA)

        assert snapshot_id.lower() not in azure.world.resources.snapshots
        assert len(azure.disks.discarded) == 1
        assert len(azure.requests("DELETE")) == 1


async def test_a_failed_snapshot_can_be_deleted(azure: Azure) -> None:
    targets = await azure.targets()
    azure.fault(Fault(method="PUT", path_contains="-os", operation_fails=("InternalServerError", "sorry")))
    await azure.capture(targets)

    for target in targets:
        await azure.compute.delete(target.snapshot_id, SAGA)

    assert azure.world.resources.snapshots == {}


@pytest.mark.parametrize("owner", ["another", None])
async def test_a_snapshot_of_another_saga_is_never_deleted(azure: Azure, owner: str | None) -> None:
    [target, *_] = await azure.targets()
    tags = {} if owner is None else {"stillframe-saga": owner}
    await azure.compute.capture([target], tags=tags, not_before=0, deadline=2**53, held=True)

    with pytest.raises(NotOurs) as refused:
        await azure.compute.delete(target.snapshot_id, SAGA)

    assert (refused.value.snapshot_id, refused.value.saga_id) == (target.snapshot_id, SAGA)
    assert azure.requests("DELETE") == []


async def test_a_deletion_whose_answer_is_lost_is_repeated(azure: Azure) -> None:
    [snapshot_id, *_] = await captured(azure)
    azure.fault(lost_answer(method="DELETE"))

    await azure.compute.delete(snapshot_id, SAGA)

    assert snapshot_id.lower() not in azure.world.resources.snapshots


async def test_a_deletion_that_fails_after_it_was_accepted_is_raised(azure: Azure) -> None:
    [snapshot_id, *_] = await captured(azure)
    azure.fault(Fault(method="DELETE", operation_fails=("OperationPreempted", "later")))

    with pytest.raises(Conflict) as failed:
        await azure.compute.delete(snapshot_id, SAGA)

    assert failed.value.passing


async def test_a_deletion_that_is_refused_is_raised(azure: Azure) -> None:
    [snapshot_id, *_] = await captured(azure)
    refused = {"error": {"code": "OperationNotAllowed", "message": "it is in use"}}
    azure.fault(Fault(method="DELETE", status=409, body=refused))

    with pytest.raises(Refused):
        await azure.compute.delete(snapshot_id, SAGA)
