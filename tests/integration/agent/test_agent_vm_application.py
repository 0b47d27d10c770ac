"""The VM Application's package for Linux and its three commands, as Azure's extension runs them."""

import json
from pathlib import Path

import pytest

from local.package import guests
from tests.integration.agent.app_side import App, hooks, runs, until
from tests.integration.agent.machine import ETC, HOME, UNIT, Machine, bootstrap
from tests.integration.agent.stub import QueueStub

LINUX: dict[str, str] = json.loads(
    (Path(__file__).resolve().parents[3] / "infra/guests/commands.json").read_text()
)["linux"]


@pytest.fixture
def downloaded(tmp_path: Path, pyz: str) -> Path:
    """The folder where the package lies under the application's name, without an extension."""
    return download(tmp_path, "0.1.0", Path(pyz).read_bytes())


def download(folder: Path, version: str, program: bytes) -> Path:
    place = folder / "VMApplicationManagerLinux" / LINUX["application"] / version
    place.mkdir(parents=True)
    guests.write_linux(place / LINUX["application"], program)
    return place


def test_the_application_installs_the_agent_for_run_commands(machine: Machine, downloaded: Path) -> None:
    done = machine.vm_application(LINUX["install"], downloaded)

    assert done.returncode == 0, done.stderr
    assert machine.at(HOME / "agent.pyz").is_symlink()
    assert not machine.at(UNIT).exists()
    again = machine.vm_application(LINUX["install"], downloaded)
    assert again.returncode == 0, again.stderr


def holding(machine: Machine, downloaded: Path, stub: QueueStub) -> App:
    """Install the agent, enrol it, and have it hold."""
    machine.vm_application(LINUX["install"], downloaded)
    machine.install(STILLFRAME_BOOTSTRAP=bootstrap(stub))
    app = App(stub)
    app.send(app.arm())
    app.answer()
    app.quiesce(filesystems="none", **hooks(machine.folder))
    assert app.answer().kind == "quiesced"
    return app


def test_an_update_keeps_the_enrolment_and_lets_a_session_finish(
    machine: Machine, downloaded: Path, stub: QueueStub
) -> None:
    app = holding(machine, downloaded, stub)
    newer = download(machine.folder, "0.1.1", Path(machine.other_version()).read_bytes())

    done = machine.vm_application(LINUX["update"], newer)

    assert done.returncode == 0, done.stderr
    assert machine.at(ETC / "enrolment.json").exists()
    app.resume()
    assert app.answer().body["held_until_order"]
    app.release()
    app.answer()
    until((machine.folder / "notes/ends").exists, "the end of the old version")


def test_a_removal_lets_go_first_and_needs_nothing_that_an_installation_left(
    machine: Machine, downloaded: Path, stub: QueueStub
) -> None:
    holding(machine, downloaded, stub)
    for left in downloaded.iterdir():
        if left.name != LINUX["application"]:
            left.unlink()

    done = machine.vm_application(LINUX["remove"], downloaded)

    assert done.returncode == 0, done.stderr
    assert runs(machine.folder, "post") == ["1"]
    assert [path for path in (HOME, UNIT) if machine.at(path).exists()] == []


def test_a_package_that_is_none_ends_with_an_error(machine: Machine, downloaded: Path) -> None:
    (downloaded / LINUX["application"]).write_bytes(b"an error page of a proxy")

    assert machine.vm_application(LINUX["install"], downloaded).returncode != 0
    assert not machine.at(HOME).exists()
