from typing import Any

from azure.mgmt.compute.models import StorageProfile

from shared.compute.attached import attached_disks

DISK = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/disks/"


def profile(os_disk: dict[str, Any], *data_disks: dict[str, Any]) -> StorageProfile:
    return StorageProfile({"osDisk": os_disk, "dataDisks": list(data_disks)})


def test_managed_disks_are_found_the_os_disk_first() -> None:
    found = attached_disks(
        profile(
            {"name": "os", "managedDisk": {"id": DISK + "os"}},
            {"name": "b", "lun": 7, "managedDisk": {"id": DISK + "b"}},
            {"name": "a", "lun": 0, "managedDisk": {"id": DISK + "a"}},
        )
    )

    assert [(disk.id.name, disk.lun) for disk in found.managed] == [("os", None), ("b", 7), ("a", 0)]
    assert found.hindrances == ()


def test_an_ephemeral_os_disk_is_a_hindrance_and_no_disk() -> None:
    found = attached_disks(
        profile({"name": "os", "diffDiskSettings": {"option": "Local"}, "managedDisk": {"id": DISK + "os"}})
    )

    assert found.managed == ()
    assert found.hindrances == ("disk os is ephemeral and cannot be snapshotted",)


def test_a_disk_in_a_storage_account_is_a_hindrance_and_no_disk() -> None:
    found = attached_disks(profile({"name": "os", "vhd": {"uri": "https://account.blob/os.vhd"}}))

    assert found.hindrances == ("disk os is not a managed disk and cannot be snapshotted",)


def test_a_vm_without_a_storage_profile_has_no_disks() -> None:
    assert attached_disks(None).managed == ()
