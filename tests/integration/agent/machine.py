"""A guest with folders of its own and a stand-in for systemctl, for what installs, upgrades and removes."""

import contextlib
import json
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.installer import text as installer
from tests.integration.agent.app_side import KEY, VM, guest_file
from tests.integration.agent.box import Box
from tests.integration.agent.stub import QueueStub

SYSTEMCTL = Path(__file__).with_name("systemctl")
HOME, ETC = Path("/opt/stillframe"), Path("/etc/stillframe")
UNIT = Path("/etc/systemd/system/stillframe-agent.service")


@dataclass
class Machine:
    """A guest with folders of its own, and a stand-in for systemctl unless ``systemd`` is taken away."""

    box: Box
    folder: Path
    pyz: str

    def install(self, pyz: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
        return self.sh("install", pyz or self.pyz, **environ)

    def sh(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        script = self.folder / "install.sh"
        script.write_text(installer())
        return self.run(["sh", str(script), *words], environ)

    def vm_application(self, command: str, folder: Path) -> subprocess.CompletedProcess[str]:
        """Run a command as the extension for VM Applications does: by bash, where the package lies."""
        return self.run(["/bin/bash", "-c", f"cd {folder} && {command}"], {})

    def run(self, command: list[str], environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
        env = {
            "PATH": f"{self.folder}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "NOTES": str(self.folder / "notes"),
            "STILLFRAME_MOUNTS": "",
            "STILLFRAME_POLL_MS": "50",
            "STILLFRAME_CONFIG": guest_file(self.folder),
            **environ,
        }
        entered = [*self.box.entrance, *command]
        return subprocess.run(
            entered, env=env, check=False, capture_output=True, text=True, cwd="/", timeout=120
        )

    def at(self, path: Path) -> Path:
        return self.box.inside(path)

    def versions(self) -> list[str]:
        return sorted(path.name for path in self.at(HOME).glob("agent-*.pyz"))

    def asked(self) -> list[str]:
        return (self.folder / "notes/asked").read_text().splitlines()

    def other_version(self) -> str:
        """Build an agent that differs from this one."""
        other = self.folder / "other.pyz"
        shutil.copy(self.pyz, other)
        with zipfile.ZipFile(other, "a") as archive:
            archive.writestr("note", "another version")
        return str(other)


@contextlib.contextmanager
def private(box: Box, folder: Path, pyz: str) -> Iterator[Machine]:
    """Give the box private folders in memory; the machine's own are not touched."""
    for name in ("/opt", "/etc", "/run"):
        box.run("mount", "-t", "tmpfs", "-o", "mode=755", "none", name)
    box.run("mkdir", "-p", "/etc/systemd/system", "/run/systemd/system")
    (folder / "bin").mkdir()
    (folder / "notes").mkdir()
    shutil.copy(SYSTEMCTL, folder / "bin/systemctl")
    yield Machine(box, folder, pyz)
    (folder / "notes/stop").touch()


def bootstrap(stub: QueueStub) -> str:
    urls = {"command_queue": stub.url("commands"), "ack_queue": stub.url("acks")}
    return json.dumps({"vm": VM, "key": KEY.hex(), **urls})
