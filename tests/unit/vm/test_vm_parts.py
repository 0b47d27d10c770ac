import lzma
import shutil
from pathlib import Path

import pytest

from local.vm import capability
from local.vm.capability import can_run_vms
from local.vm.modules import in_order
from local.vm.restore import verdict_in
from local.world.capability import Capability
from local.world.restore import CheckFailedError, Verdict


def module(folder: Path, name: str, *depends: str, packed: bool = False) -> bytes:
    content = b"\x7fELF\0license=GPL\0depends=" + ",".join(depends).encode() + b"\0name=" + name.encode()
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.ko{'.xz' if packed else ''}"
    path.write_bytes(lzma.compress(content) if packed else content)
    return content


def test_modules_come_after_what_they_depend_on_and_once(tmp_path: Path) -> None:
    module(tmp_path / "net", "virtio_net", "virtio_ring", "virtio", "failover")
    module(tmp_path / "net", "failover")
    module(tmp_path / "block", "virtio_blk", "virtio", "virtio_ring")
    module(tmp_path / "virtio", "virtio_ring")
    module(tmp_path / "virtio", "virtio", "virtio_ring")
    names = [name for name, _ in in_order(tmp_path, ["virtio_blk", "virtio_net"])]
    assert names == ["virtio_ring", "virtio", "virtio_blk", "failover", "virtio_net"]


def test_a_built_in_module_is_left_out_and_a_packed_one_unpacked(tmp_path: Path) -> None:
    content = module(tmp_path, "virtio-rng", "rng_core", packed=True)
    assert in_order(tmp_path, ["ext4", "virtio_rng"]) == [("virtio_rng", content)]


def test_the_verdict_is_found_among_what_the_kernel_says() -> None:
    said = '\r\n[ 3.1] EXT4-fs\r\nVERDICT {"whole": true, "reason": "fine", "transfers": 7}\r\nPower down\r\n'
    assert verdict_in("vm", said) == Verdict(whole=True, reason="fine", transfers=7)


@pytest.mark.parametrize("said", ["", "Kernel panic", "VERDICT ", 'VERDICT {"whole": tr', "VERDICT []"])
def test_without_a_verdict_nothing_is_known_of_the_copy(said: str) -> None:
    with pytest.raises(CheckFailedError) as failed:
        verdict_in("vm", said)
    assert failed.value.vm_name == "vm"


def test_a_machine_without_qemu_is_told_in_one_line_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capability, "can_use_real_disks", lambda: Capability(ok=True, reason=""))
    monkeypatch.setattr(shutil, "which", lambda name: None if "qemu" in name else f"/bin/{name}")
    found = can_run_vms()
    assert not found.ok
    assert found.reason == (
        "qemu-system-x86_64 is missing: apt-get install qemu-system-x86 (make system-deps)"
    )


def test_a_dynamic_busybox_is_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capability, "can_use_real_disks", lambda: Capability(ok=True, reason=""))
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(capability, "BUSYBOX", Path("/bin/ls"))
    assert "busybox-static" in can_run_vms().reason
