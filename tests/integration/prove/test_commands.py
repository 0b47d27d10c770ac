"""Demonstration and proof say in one line what is wrong or missing, before anything starts."""

from dataclasses import replace

import pytest

from local.demo.__main__ import main as demo
from local.demo.command import UNAVAILABLE
from local.guests import applications
from local.guests.systemctl import main as systemctl
from local.prove.__main__ import main as prove
from local.world.capability import Capability

NO_SERVER = "no MariaDB server is installed: apt-get install mariadb-server (make system-deps)"


@pytest.fixture
def without_mariadb(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = replace(applications.APPLICATIONS["mariadb"], obstacle=lambda: NO_SERVER)
    monkeypatch.setattr(applications, "APPLICATIONS", {"mariadb": missing})


@pytest.fixture
def without_root(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = Capability(ok=False, reason="real disks need root")
    for command in ("local.demo.__main__", "local.prove.__main__"):
        monkeypatch.setattr(f"{command}.can_use_real_disks", lambda: refused)


def test_the_demonstration_of_an_unknown_application_says_which_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert demo(["oracle"]) == UNAVAILABLE
    assert capsys.readouterr().err == (
        "there is no application 'oracle': choose one of ledger, sqlite, sqlite-wal, postgresql, mariadb\n"
    )


@pytest.mark.usefixtures("without_mariadb")
def test_the_demonstration_says_in_one_line_which_server_is_missing_and_how_to_get_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("local.demo.__main__.can_use_real_disks", lambda: Capability(ok=True, reason=""))

    assert demo(["mariadb"]) == UNAVAILABLE
    assert capsys.readouterr().err == NO_SERVER + "\n"


@pytest.mark.usefixtures("without_root")
def test_a_database_is_not_shown_without_real_disks(capsys: pytest.CaptureFixture[str]) -> None:
    assert demo(["sqlite"]) == UNAVAILABLE
    assert capsys.readouterr().err == "sqlite needs real disks: real disks need root\n"


def test_the_proof_of_an_unknown_mode_says_which_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert prove(["--application", "sqlite", "--mode", "drained"]) == UNAVAILABLE
    assert capsys.readouterr().err == (
        "there is no mode 'drained': choose one of 'off', 'filesystems', 'scripts', 'scripts, filesystems', "
        "'services stop', 'services sigstop'\n"
    )


@pytest.mark.usefixtures("without_root")
def test_nothing_is_proved_without_real_disks(capsys: pytest.CaptureFixture[str]) -> None:
    assert prove([]) == UNAVAILABLE
    assert capsys.readouterr().err == "real disks need root\n"


def test_the_stand_in_of_systemctl_knows_one_unit(
    capsys: pytest.CaptureFixture[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    socket = str(tmp_path_factory.mktemp("guest") / "control.sock")

    assert systemctl(socket, ["show", "--property=ActiveState", "nginx.service"]) == 5
    assert capsys.readouterr().err == "Unit nginx.service not found.\n"
    assert systemctl(socket, ["show", "--property=ActiveState", "application.service"]) == 0
    assert "ActiveState=active\n" in capsys.readouterr().out
    assert systemctl(socket, ["stop", "application.service"]) == 1
    assert "the application is not running" in capsys.readouterr().err
