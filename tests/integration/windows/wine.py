"""A Windows for tests: Wine with a prefix of its own, and the agent in it."""

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path, PureWindowsPath
from typing import Any

from tests.integration.agent.app_side import App, until

WINE, SERVER = Path("/usr/lib/wine/wine64"), Path("/usr/lib/wine/wineserver")

#: How long a prefix may take to be made (s): about 15 on an idle machine.
_MAKING_S = 180


def why_not() -> str:
    """Say why there is no Wine to test with; "" if there is."""
    missing = [str(path) for path in (WINE, SERVER) if not path.exists()]
    return f"Wine is missing ({', '.join(missing)}): make system-deps" if missing else ""


class Wine:
    """A prefix: a registry and a drive C: of its own."""

    def __init__(self, folder: Path) -> None:
        self.drive = folder / "drive_c"
        self.environ = {
            **{n: v for n, v in os.environ.items() if not n.startswith(("STILLFRAME_", "PYTHON"))},
            "WINEPREFIX": str(folder),
            "WINEDEBUG": "-all",
            "WINEARCH": "win64",
            "HOME": str(folder.parent),  # or Wine links the user's own folders into the prefix
            "WINEDLLOVERRIDES": "mscoree,mshtml=",  # asks for no download
        }
        folder.mkdir(parents=True)
        self.run("wineboot", "-i")
        self.run("reg", "add", "HKCU\\Software\\Wine", "/v", "Version", "/d", "win10", "/f")

    def run(self, *command: str) -> str:
        """Run a program to its end; gives what it wrote."""
        done = subprocess.run(
            [str(WINE), *command],
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=True,
            timeout=_MAKING_S,
        )
        return done.stdout.decode("utf-8", "replace")

    def program(self, python: Path, target: Path, text: str) -> None:
        """Make an .exe of a Python text: an interpreter of another name that finds the text at its start."""
        library = next(python.parent.glob("python3??.dll"))
        packed = library.with_suffix(".zip").name
        for name in (library.name, packed, "vcruntime140.dll"):
            if not (target.parent / name).exists():
                shutil.copy(python.parent / name, target.parent)
        shutil.copy(python, target)
        extra = target.with_suffix(".lib")
        extra.mkdir()
        lines = [packed, extra.name, "import site"]
        target.with_suffix("._pth").write_text("".join(line + "\n" for line in lines))
        (extra / "sitecustomize.py").write_text(text)

    def path(self, place: Path) -> str:
        r"""Give the name of a place under the drive, as ``C:\...``."""
        return str(PureWindowsPath("C:\\") / PureWindowsPath(place.relative_to(self.drive)))

    def install(self, python: Path) -> Path:
        """Put an interpreter on the drive."""
        target = self.drive / f"python{python.parent.name}"
        if not target.exists():
            shutil.copytree(python.parent, target)
        return target / "python.exe"

    def processes(self, *words: str) -> list[int]:
        """Find the living processes of this prefix whose command line has all of ``words``."""
        mark = f"WINEPREFIX={self.environ['WINEPREFIX']}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if not entry.name.isdigit() or mark not in (entry / "environ").read_bytes().split(b"\0"):
                    continue
                line = (entry / "cmdline").read_bytes().decode("utf-8", "replace")
            except OSError:
                continue
            if line and all(word in line for word in words):
                found.append(int(entry.name))
        return found

    def close(self) -> None:
        """End everything in the prefix."""
        subprocess.run([str(SERVER), "-k"], env=self.environ, check=False, timeout=60)


class WindowsAgent:
    """Starts of the agent on one state folder of the prefix."""

    def __init__(self, wine: Wine, python: Path, pyz: str, name: str) -> None:
        self.wine = wine
        self.python = python
        self.name = name
        self.state = wine.drive / "state" / name
        self.folder = wine.drive / "ProgramData" / "Stillframe" / "scripts" / name
        self.folder.mkdir(parents=True, mode=0o755)
        self.state.parent.mkdir(exist_ok=True)
        self.program = wine.drive / "agent" / name / "agent.pyz"
        self.program.parent.mkdir(parents=True)
        self.launcher = self.program.with_name("agent.py")
        self.enrolment = self.state.with_name(name + "-enrolment.json")
        shutil.copy(pyz, self.program)
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, app: App, *switches: str, **more: Any) -> subprocess.Popen[bytes]:
        """Start one; ``command`` is by default a fresh `arm`."""
        more["STILLFRAME_BOOTSTRAP"] = json.dumps(app.bootstrap(more))
        return self._run(self.program, "run", *switches, **more)

    def place(self, program: Path) -> None:
        """Do what the installer does with a version: put it into the agent's folder, as the current one."""
        self.call(program, "place", self.wine.path(self.program.parent), stdin=b"")

    def reside(self, enrolment: dict[str, Any]) -> subprocess.Popen[bytes]:
        """Start the resident agent as the scheduled task does, enrolled as said."""
        self.enrolment.write_text(json.dumps(enrolment))
        return self._run(self.launcher, "run", "--resident")

    def tidy(self, **more: str) -> None:
        """Do what the scheduled task does at boot."""
        self.call(self.program, "tidy", stdin=b"", **more)

    def call(self, program: Path, *words: str, stdin: bytes, **more: str) -> bytes:
        """Run the interpreter to its end, which must be a good one, and give what it printed.

        ``program`` may be ``-``.
        """
        done = subprocess.run(
            self._command(program, *words),
            env=self._environ(more),
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def _run(self, program: Path, *words: str, **more: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            self._command(program, *words),
            env=self._environ(more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,  # not a file: the interpreter would find its handle invalid
            stderr=subprocess.STDOUT,
        )
        self.started.append(process)
        return process

    def _command(self, program: Path, *words: str) -> list[str]:
        named = self.wine.path(program) if program.is_absolute() else str(program)
        return [str(WINE), self.wine.path(self.python), named, *words]

    def _environ(self, more: dict[str, str]) -> dict[str, str]:
        return {
            **self.wine.environ,
            "STILLFRAME_STATE_DIR": self.wine.path(self.state),
            "STILLFRAME_ENROLMENT": self.wine.path(self.enrolment),
            "STILLFRAME_POLL_MS": "50",
            **more,
        }

    def batch(self, name: str, text: str = "") -> str:
        """Write a batch file that notes each of its runs in a file beside it."""
        lines = ["@echo off", 'echo %STILLFRAME_GENERATION% %*>>"%~f0.runs"', *text.splitlines()]
        path = self.folder / name
        path.write_bytes("".join(line + "\r\n" for line in lines).encode())
        return self.wine.path(path)

    def runs(self, name: str) -> list[str]:
        path = self.folder / f"{name}.runs"
        return [line.strip() for line in path.read_text().splitlines()] if path.exists() else []

    def dead_men(self) -> list[int]:
        return self.wine.processes("dead-man", self.name)

    def living(self) -> list[int]:
        return self.wine.processes(self.name)

    def log(self) -> str:
        path = self.state / "agent.log"
        return path.read_text() if path.exists() else ""

    def close(self) -> None:
        """Kill what still runs."""
        for pid in self.living():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        for process in self.started:
            process.communicate()
        until(lambda: not self.living(), "the end of all processes")
