"""The contract of the storage of findings; every test runs in memory and on Azurite."""

from dataclasses import replace

import pytest

from shared.storage.errors import FindingNotFound
from shared.storage.findings import Finding, FindingKind, Passes
from tests.contract.support import Storage, unique

T0 = 1_790_000_000_000


def finding(kind: FindingKind = FindingKind.ORPHAN, at: int = T0) -> Finding:
    return Finding(
        kind=kind,
        resource_id=f"/subscriptions/s/resourceGroups/g/snapshots/{unique('Sf')}",
        point_id="p",
        policy="nightly",
        detail="nobody's",
        first_seen=at,
        last_seen=at,
    )


async def test_a_finding_that_is_seen_again_keeps_the_time_of_its_first_sight(storage: Storage) -> None:
    first = finding()
    assert await storage.findings.note(first) is True
    again = replace(first, resource_id=first.resource_id.upper(), first_seen=T0 + 5, last_seen=T0 + 5)
    assert again.finding_id == first.finding_id
    assert await storage.findings.note(again) is False
    assert await storage.findings.get(first.finding_id) == replace(again, first_seen=T0)


async def test_findings_of_one_resource_differ_by_their_kind(storage: Storage) -> None:
    first = finding()
    other = replace(first, kind=FindingKind.MISMATCH)
    for each in (first, other):
        await storage.findings.note(each)
    ids = [each.finding_id async for each in storage.findings.all()]
    assert {first.finding_id, other.finding_id} <= set(ids)
    assert ids == sorted(ids)
    rest = [each.finding_id async for each in storage.findings.all(first.finding_id)]
    assert rest == ids[ids.index(first.finding_id) + 1 :]


async def test_a_closed_finding_is_gone_and_closing_it_again_is_fine(storage: Storage) -> None:
    first = finding()
    await storage.findings.note(first)
    await storage.findings.close(first.finding_id)
    await storage.findings.close(first.finding_id)
    with pytest.raises(FindingNotFound):
        await storage.findings.get(first.finding_id)


async def test_the_last_two_passes_are_known(storage: Storage) -> None:
    before = (await storage.findings.passes()).last
    assert await storage.findings.begin_pass(T0) == Passes(T0, before)
    assert await storage.findings.begin_pass(T0 + 1) == Passes(T0 + 1, T0)
    assert await storage.findings.passes() == Passes(T0 + 1, T0)
