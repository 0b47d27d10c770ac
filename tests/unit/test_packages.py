"""`make package`: the same bytes twice, exactly what .funcignore leaves, and nothing that was not pinned."""

import hashlib
import json
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from local.package import __main__ as package
from local.package import app, archives, guests
from tests.unit.test_project import tracked

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def python(tmp_path: Path) -> guests.WindowsPython:
    path = tmp_path / "python-3.13.2-embed-amd64.zip"
    path.write_bytes(b"stands for python.org's file")
    return guests.WindowsPython(path, hashlib.sha256(path.read_bytes()).hexdigest())


def test_the_same_sources_give_the_same_bytes(tmp_path: Path, python: guests.WindowsPython) -> None:
    sums = []
    for name in ("first", "second"):
        into = tmp_path / name
        words = ["--into", str(into), "--windows-python", str(python.path)]
        assert package.main([*words, "--windows-python-sha256", python.sha256]) == 0
        sums.append((into / "SHA256SUMS").read_text())

    assert sums[0] == sums[1]
    names = [line.split()[1] for line in sums[0].splitlines()]
    assert [name.removeprefix("stillframe-") for name in names] == [
        "app-0.1.0.zip",
        "agent-0.1.0.pyz",
        "agent-0.1.0-linux.tar.gz",
        "agent-0.1.0-windows.zip",
    ]
    checked = subprocess.run(
        ["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=tmp_path / "first", check=False
    )
    assert checked.returncode == 0


def test_the_order_of_a_folder_does_not_show(tmp_path: Path) -> None:
    members = {"a.sh": b"1", "b/c": b"2"}
    other = dict(reversed(members.items()))

    for write in (archives.write_zip, archives.write_tar_gz):
        one, two = write(tmp_path / "one", members), write(tmp_path / "two", other)
        assert one.read_bytes() == two.read_bytes()


def test_the_app_is_exactly_what_funcignore_leaves() -> None:
    left_out = set(tracked("--cached", "--ignored", f"--exclude-from={ROOT / '.funcignore'}"))

    assert set(app.members()) == {name for name in tracked() if name not in left_out}


def test_what_lies_about_in_a_checkout_is_not_shipped(tmp_path: Path) -> None:
    (tmp_path / ".funcignore").write_text("docs/\n*.md\n")
    for name in ("function_app.py", "notes.txt", "README.md", "docs/a.py", "shared/docs"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    without_git = app.members(tmp_path)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run(
        ["git", "add", "-f", "function_app.py", "shared/docs", "docs/a.py"], cwd=tmp_path, check=True
    )

    assert without_git == [".funcignore", "function_app.py", "notes.txt", "shared/docs"]
    assert app.members(tmp_path) == ["function_app.py", "shared/docs"]


@pytest.mark.parametrize("pattern", ["!keep.py", "shared/ui/", "/tests", "**/x"])
def test_a_line_of_funcignore_that_is_not_understood_is_refused_by_its_number(pattern: str) -> None:
    with pytest.raises(app.UnknownPatternError) as raised:
        app.read_patterns(f"# what is left out\n\ndocs/\n{pattern}\n")

    assert (raised.value.line, raised.value.pattern) == (4, pattern)


def test_the_package_for_linux_has_the_agent_and_its_installer(tmp_path: Path) -> None:
    with tarfile.open(guests.write_linux(tmp_path / "linux", b"agent")) as archive:
        assert [(each.name, each.mode, each.uid, each.mtime) for each in archive] == [
            ("agent.pyz", 0o755, 0, 0),
            ("install.sh", 0o755, 0, 0),
        ]


def test_the_package_for_windows_pins_what_it_unpacks(tmp_path: Path, python: guests.WindowsPython) -> None:
    with zipfile.ZipFile(guests.write_windows(tmp_path / "windows", b"agent", python)) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        for part in ("agent", "python"):
            content = archive.read(manifest[part]["file"])
            assert manifest[part]["sha256"] == hashlib.sha256(content).hexdigest()
        assert {"install.ps1", "vm-application.ps1"} <= set(archive.namelist())


def test_a_python_that_is_not_the_pinned_one_is_not_packed(
    tmp_path: Path, python: guests.WindowsPython, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--into", str(tmp_path), "--windows-python", str(python.path)]

    assert package.main([*words, "--windows-python-sha256", "00" * 32]) == 1
    assert "has SHA-256" in capsys.readouterr().err
    assert not list(tmp_path.glob("*windows.zip"))


def test_a_python_without_its_sum_is_refused(python: guests.WindowsPython) -> None:
    with pytest.raises(SystemExit) as raised:
        package.main(["--windows-python", str(python.path)])

    assert raised.value.code == 2
