"""What a policy says a recovery point is made of."""

import pytest

from shared.policy.documents import read_run
from shared.policy.fields import DocumentError
from shared.policy.snapshots import RecoveryPointKind, SnapshotSettings

GROUP = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/app"
VM = f"{GROUP}/providers/Microsoft.Compute/virtualMachines/db-1"


def test_it_is_made_of_snapshots_unless_a_restore_point_is_asked_for() -> None:
    assert read_run({"vms": [VM]}).snapshots == SnapshotSettings()
    asked = read_run({"vms": [VM], "snapshots": {"recovery_point": "restore_point"}}).snapshots
    assert asked == SnapshotSettings(recovery_point=RecoveryPointKind.RESTORE_POINT)


@pytest.mark.parametrize("wrong", ["restore-point", "", 1, True, ["snapshots"]])
def test_anything_else_is_refused_by_the_name_of_the_field(wrong: object) -> None:
    with pytest.raises(DocumentError) as caught:
        read_run({"vms": [VM], "snapshots": {"recovery_point": wrong}})
    assert caught.value.field == "snapshots.recovery_point"
    assert "snapshots, restore_point" in caught.value.problem
