"""Names follow from saga, generation and disk, and fit what Azure allows."""

import hashlib
from dataclasses import replace

import pytest

from shared.policy.snapshots import RecoveryPointKind
from shared.saga.events import CancelRequested, FactsRead, Started
from shared.saga.names import collection_name, restore_point_id, saga_id, snapshot_id
from tests.unit.saga.build import GROUP, SAGA, VM, Saga, captured, disk, facts, guest


def test_the_saga_of_a_vm_in_a_run_is_named_by_twenty_hex_digits_whatever_the_case_of_its_id() -> None:
    expected = hashlib.sha256(f"run-1\n{VM.lower()}".encode()).hexdigest()[:20]

    assert saga_id("run-1", VM) == saga_id("run-1", VM.upper()) == expected


def test_the_longest_vm_name_makes_a_collection_name_of_56_characters() -> None:
    vm_id = f"{GROUP}/providers/Microsoft.Compute/virtualMachines/{'n' * 64}"
    digest = hashlib.sha256(vm_id.lower().encode()).hexdigest()[:12]

    assert collection_name(vm_id) == f"sf-{'n' * 40}-{digest}"


def test_a_snapshot_is_in_the_disks_own_group_unless_another_is_wanted() -> None:
    end = f"providers/Microsoft.Compute/snapshots/sf-{SAGA}-g2-0"

    assert snapshot_id(disk(0), None, SAGA, 2) == f"{GROUP}/{end}"
    assert snapshot_id(disk(0), "backups", SAGA, 2) == f"/subscriptions/s1/resourceGroups/backups/{end}"


def test_a_restore_point_is_in_the_vms_own_group_unless_another_is_wanted() -> None:
    end = f"restorePointCollections/{collection_name(VM)}/restorePoints/sf-{SAGA}-g3"

    assert restore_point_id(VM, None, SAGA, 3) == f"{GROUP}/providers/Microsoft.Compute/{end}"
    assert restore_point_id(VM, "backups", SAGA, 3).startswith("/subscriptions/s1/resourceGroups/backups/")


@pytest.mark.parametrize("kind", RecoveryPointKind)
def test_what_a_generation_made_is_deleted_from_the_group_that_it_was_made_in(
    kind: RecoveryPointKind,
) -> None:
    saga = Saga(guest(enabled=False), kind)
    elsewhere = replace(saga.state.spec.snapshots, resource_group="backups")
    saga.state = replace(saga.state, spec=replace(saga.state.spec, snapshots=elsewhere))
    saga.take(Started(), FactsRead(facts()), CancelRequested(), captured())

    assert saga.state.discard
    assert all("/resourceGroups/backups/" in made for made in saga.state.discard)
