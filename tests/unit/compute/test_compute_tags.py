from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from shared.compute import tags
from shared.saga.facts import DiskFacts, VmFacts, VmShape

VM_ID = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/db-1"
DISK = DiskFacts(disk_id="d", name="db-1-0", lun=0, location="l", sku="PremiumV2_LRS", size_gib=4, iops=3000)
VM = VmFacts(
    vm_id=VM_ID,
    name="db-1",
    location="westeurope",
    os_type="Linux",
    power_state="running",
    vm_agent_ready=True,
    disks=(replace(DISK, lun=None, sku="Premium_LRS"), DISK, replace(DISK, lun=1)),
    shape=VmShape(size="Standard_D2s_v5", generation="V2", security="TrustedLaunch", vtpm=True, zone="2"),
)


def test_a_new_snapshot_says_whose_it_is() -> None:
    assert tags.at_birth(policy="nightly", run="r1", saga="s1", generation=2) == {
        "stillframe-policy": "nightly",
        "stillframe-run": "r1",
        "stillframe-saga": "s1",
        "stillframe-generation": "2",
    }


def test_a_kept_snapshot_says_how_consistent_it_is() -> None:
    assert tags.when_graded(
        grade="application",
        freeze_window_ms=812,
        evidence="ab" * 32,
        warnings=2,
        left_out=["os", "3"],
        outcome="degraded",
    ) == {
        "stillframe-grade": "application",
        "stillframe-freeze-window-ms": "812",
        "stillframe-evidence": "ab" * 32,
        "stillframe-warnings": "2",
        "stillframe-left-out": "os,3",
        "stillframe-outcome": "degraded",
    }


def test_without_a_freeze_the_window_is_empty() -> None:
    crash = tags.when_graded(
        grade="crash", freeze_window_ms=None, evidence="", warnings=0, left_out=(), outcome="degraded"
    )

    assert crash["stillframe-freeze-window-ms"] == ""


def test_a_snapshot_tells_of_its_vm_and_of_its_place_in_it() -> None:
    told = tags.of_disk(VM, DISK)

    assert tags.vm_of(told["stillframe-vm"]) == VM_ID
    assert told["stillframe-restore"] == (
        "slots=os,0-1 disk=0 size=Standard_D2s_v5 os=Linux location=westeurope zone=2 "
        "security=TrustedLaunch sku=PremiumV2_LRS generation=V2 vtpm=1 iops=3000"
    )
    assert tags.words_of(told["stillframe-restore"])["zone"] == "2"


def test_what_is_told_of_the_largest_vm_fits_into_a_tag_and_names_all_its_disks() -> None:
    every_other = tuple(replace(DISK, lun=lun, sku="PremiumV2_LRS", mbps=1200) for lun in range(0, 64, 2))
    shape = replace(VM.shape, size="Standard_M832ids_16_v3_and_more", controller="NVMe", secure_boot=True)
    told = tags.of_disk(replace(VM, disks=every_other, shape=shape), every_other[0])["stillframe-restore"]

    assert len(told) <= tags.LONGEST_VALUE
    assert tags.slots_in(tags.words_of(told)["slots"]) == tuple(each.slot for each in every_other)


@given(st.sets(st.one_of(st.just("os"), st.integers(0, 63).map(str))))
def test_slots_are_read_as_they_were_written(slots: set[str]) -> None:
    assert set(tags.slots_in(tags.in_ranges(slots))) == slots


def test_a_tag_that_names_no_vm_is_none() -> None:
    assert [tags.vm_of(text) for text in ("", "a/b", "a//c", "a/b/c/d")] == [None] * 4
