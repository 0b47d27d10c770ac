"""A guest without a machine: private mounts and processes, with ext4 disks on loop devices.

Only what is mounted inside is ever frozen: the agent is told the mounts by name, and to skip `/`.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.integration.agent.app_side import App, guest_file, until

_UNSHARE = ["unshare", "-m", "-p", "-f", "--mount-proc", "--kill-child", "--propagation", "private"]

#: Process 1 of the box: buries what is orphaned there, and ends when its input ends, so with the test itself.
#: At the end it thaws the test's own disks, as a frozen filesystem would outlive its last mount.
_INIT = """
import fcntl, os, select, sys
print("up", flush=True)
while not select.select([0], [], [], 0.1)[0]:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
for line in open("/proc/self/mountinfo"):
    point = line.split(" ")[4]
    if point.startswith(sys.argv[1] + "/"):
        handle = os.open(point, os.O_RDONLY)
        try:
            fcntl.ioctl(handle, 0xC0045878, 0)
        except OSError:
            pass
        os.close(handle)
"""


def why_not() -> str:
    """Say why no box can be had here; "" if one can."""
    if os.geteuid() != 0:
        return "needs root"
    for tool in ("unshare", "nsenter", "losetup", "mkfs.ext4", "mount"):
        if shutil.which(tool) is None:
            return f"needs {tool}"
    if not Path("/dev/loop-control").exists():
        return "needs loop devices"
    probe = subprocess.run([*_UNSHARE, "true"], check=False, capture_output=True)
    return "" if probe.returncode == 0 else "needs private namespaces: " + probe.stderr.decode().strip()


class Box:
    """The namespaces, the disks, and the processes inside."""

    def __init__(self, folder: Path, pyz: str) -> None:
        self.folder = folder
        self._pyz = pyz
        self._probes = 0
        self._started: list[subprocess.Popen[bytes]] = []
        self._init = subprocess.Popen(
            [*_UNSHARE, sys.executable, "-c", _INIT, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd="/",
        )
        assert self._init.stdout is not None
        assert self._init.stdout.readline() == b"up\n"
        children = Path(f"/proc/{self._init.pid}/task/{self._init.pid}/children").read_text().split()
        self.root = int(children[0])
        self.state = folder / "state"
        self.state.mkdir()
        self.run("mount", "-t", "tmpfs", "-o", "mode=700", "none", str(self.state))
        self._images = folder / "images"  # in memory: the machine's own disk is no part of the test
        self._images.mkdir()
        self.run("mount", "-t", "tmpfs", "none", str(self._images))

    # --- disks ------------------------------------------------------------------------------

    def disk(
        self,
        name: str,
        on: Path | None = None,
        megabytes: int = 16,
        make: tuple[str, ...] = ("mkfs.ext4", "-F"),
    ) -> Path:
        """Mount a fresh disk, by default an ext4, its image lying ``on`` another disk or in memory."""
        image, point = (on or self._images) / f"{name}.img", self.folder / name
        point.mkdir()
        self.run("truncate", "-s", f"{megabytes}M", str(image))
        self.run(*make, "-q", str(image))
        self.run("mount", "-o", "loop", str(image), str(point))
        return point

    def mount_points(self) -> list[str]:
        """Give everything that is mounted inside."""
        mounted = Path(f"/proc/{self.root}/mounts").read_text().splitlines()
        return sorted({line.split(" ")[1] for line in mounted})

    def inside(self, path: Path) -> Path:
        """Give the path by which a file of the box is reached from outside."""
        return Path(f"/proc/{self.root}/root{path}")

    def can_write(self, point: Path) -> bool:
        """Say whether a write to the disk comes through within a second."""
        probe = 'exec 3>> "$1"'  # by the shell, which starts at once on a busy machine too
        self._probes += 1  # a fresh file each time: to open one that is there need not be a write
        file = str(point / f"probe-{self._probes}")
        writer = self._enter("timeout", "-s", "KILL", "1", "sh", "-c", probe, "sh", file)
        done = writer.wait()
        return done == 0

    def fsfreeze(self, point: Path) -> None:
        self.run("fsfreeze", "-f", str(point))

    def thaw(self, point: Path) -> bool:
        """Thaw behind the agent's back; False if the disk was not frozen."""
        done = self._enter("fsfreeze", "-u", str(point))
        return done.wait() == 0

    # --- processes --------------------------------------------------------------------------

    def run(self, *command: str) -> str:
        entered = [*self.entrance, *command]
        done = subprocess.run(entered, check=False, capture_output=True, cwd="/", text=True)
        assert done.returncode == 0, (command, done.stderr)
        return done.stdout

    def agent(
        self, app: App, python: str = "python3", mounts: tuple[Path, ...] | None = (), **more: Any
    ) -> subprocess.Popen[bytes]:
        """Start an agent inside; its session is armed by the bootstrap's own command.

        The process ends when the agent's does, and in the same way.
        """
        bootstrap = app.bootstrap(more)
        program = [*more.pop("launcher", ()), more.pop("pyz", None) or self._pyz]
        environ = {
            **os.environ,
            "STILLFRAME_BOOTSTRAP": json.dumps(bootstrap),
            "STILLFRAME_STATE_DIR": str(self.state),
            "STILLFRAME_POLL_MS": "50",
            "STILLFRAME_SKIP_MOUNTS": "/",
            "STILLFRAME_CONFIG": guest_file(self.folder),
            **more,
        }
        if mounts is not None:
            environ["STILLFRAME_MOUNTS"] = os.pathsep.join(map(str, mounts))
        return self._enter(python, *program, "run", environ=environ)

    def agents(self) -> list[int]:
        """The agents' processes, by their numbers outside."""
        return self._running("run")

    def dead_men(self) -> list[int]:
        return self._running("dead-man")

    def holders(self) -> list[int]:
        return self._running("hold")

    @property
    def entrance(self) -> tuple[str, ...]:
        """What stands before a command that is to run inside."""
        return ("nsenter", "-t", str(self.root), "-m", "-p", "--")

    def kill(self, pids: list[int], number: int = signal.SIGKILL) -> None:
        assert pids
        for pid in pids:
            os.kill(pid, number)

    def log(self) -> str:
        return self.inside(self.state / "agent.log").read_text()

    def counters(self) -> dict[str, int]:
        try:
            found: dict[str, int] = json.loads(self.inside(self.state / "counters.json").read_text())
        except FileNotFoundError:
            return {}
        return found

    def close(self) -> None:
        """End it all: process 1 thaws what is left frozen, and takes everything with it."""
        assert self._init.stdin is not None
        self._init.stdin.close()
        for process in self._started:  # one that stopped along with its child would never bury it
            process.kill()
            process.wait()
        self._init.wait()

    def enter(self, *command: str, environ: dict[str, str]) -> None:
        """Start a process inside, with nothing but this environment."""
        self._enter(*command, environ=environ)

    def _enter(self, *command: str, environ: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        entered = [*self.entrance, *command]
        process = subprocess.Popen(entered, cwd="/", env=environ, stderr=subprocess.DEVNULL)
        self._started.append(process)
        return process

    def _running(self, verb: str) -> list[int]:
        """Find the zipapp's processes in the box's own process namespace."""
        mine = Path(f"/proc/{self.root}/ns/pid").readlink()
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
                if self._pyz.encode() in words and verb.encode() in words and b"nsenter" not in words:
                    found += [int(entry.name)] if (entry / "ns/pid").readlink() == mine else []
        return sorted(found)


@contextlib.contextmanager
def opened(folder: Path, pyz: str) -> Iterator[Box]:
    box = Box(folder, pyz)
    try:
        yield box
    finally:
        box.close()


def eventually_written(box: Box, point: Path) -> None:
    until(lambda: box.can_write(point), f"{point} is still frozen")
