"""Installation, upgrade and removal in private mounts: the machine's own folders are not touched."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from agent.installer import text as installer
from tests.integration.agent.app_side import KEY, App, hooks, runs, until
from tests.integration.agent.machine import ETC, HOME, UNIT, Machine, bootstrap
from tests.integration.agent.stub import QueueStub


def test_an_enrolled_agent_is_started_by_systemd_and_serves(machine: Machine, stub: QueueStub) -> None:
    done = machine.install(STILLFRAME_BOOTSTRAP=bootstrap(stub))

    assert done.returncode == 0, done.stderr
    assert machine.asked() == [
        "daemon-reload",
        "enable --quiet stillframe-agent.service",
        "start stillframe-agent.service",
    ]
    enrolment = machine.at(ETC / "enrolment.json")
    assert (enrolment.stat().st_mode & 0o777, enrolment.stat().st_uid) == (0o600, 0)
    assert KEY.hex() not in done.stdout + done.stderr + machine.at(UNIT).read_text()
    app = App(stub)
    app.send(app.arm())
    assert app.answer().body["resident"] is True


def test_an_agent_without_enrolment_is_left_to_run_commands(machine: Machine) -> None:
    done = machine.install()

    assert done.returncode == 0, done.stderr
    assert "not enrolled" in done.stdout
    assert not machine.at(UNIT).exists()
    assert machine.at(HOME / "agent.pyz").is_symlink()


def test_a_guest_without_systemd_is_told_how_to_start_it(machine: Machine, stub: QueueStub) -> None:
    machine.box.run("rmdir", "/run/systemd/system")

    done = machine.install(STILLFRAME_BOOTSTRAP=bootstrap(stub))

    assert done.returncode == 0
    assert "run --resident" in done.stderr
    assert not machine.at(UNIT).exists()


def test_an_upgrade_lets_a_session_finish_and_then_the_new_version_serves(
    machine: Machine, stub: QueueStub
) -> None:
    machine.install(STILLFRAME_BOOTSTRAP=bootstrap(stub))
    before = machine.versions()
    app = App(stub)
    app.send(app.arm())
    app.answer()
    app.quiesce(filesystems="none", **hooks(machine.folder))
    assert app.answer().kind == "quiesced"

    done = machine.install(machine.other_version())

    assert done.returncode == 0, done.stderr
    assert len(machine.versions()) == 2  # the one that runs is still in use
    app.resume()
    assert app.answer().body["held_until_order"]
    app.release()
    app.answer()
    until((machine.folder / "notes/ends").exists, "the end of the old version")
    assert (machine.folder / "notes/ends").read_text() == "0\n"
    later = App(stub, "saga-2")
    later.send(later.arm())
    later.answer()
    machine.install(machine.other_version())
    assert [name for name in machine.versions() if name not in before] == machine.versions()


def test_a_removal_lets_go_first_and_leaves_nothing_that_it_made(machine: Machine, stub: QueueStub) -> None:
    machine.install(STILLFRAME_BOOTSTRAP=bootstrap(stub))
    app = App(stub)
    app.send(app.arm())
    app.answer()
    app.quiesce(filesystems="none", **hooks(machine.folder))
    app.answer()

    done = machine.sh("uninstall")

    assert done.returncode == 0, done.stderr
    assert runs(machine.folder, "post") == ["1"]
    left = [HOME, ETC, UNIT, Path("/run/stillframe")]
    assert [path for path in left if machine.at(path).exists()] == []
    assert machine.box.agents() == machine.box.dead_men() == []
    assert app.collect()[-1].kind == "resumed"
    assert not app.collect()[-1].body["held_until_order"]


def test_a_removal_ends_the_agent_of_a_single_session_too(machine: Machine, app: App) -> None:
    machine.install()
    pyz = str(machine.at(HOME / "agent.pyz").readlink())
    machine.box.agent(app, python="/usr/bin/python3", pyz=pyz)
    app.answer()

    done = machine.sh("uninstall")

    assert done.returncode == 0, done.stderr
    assert not machine.at(HOME).exists()


def test_a_removal_keeps_what_the_administrator_made(machine: Machine) -> None:
    machine.install()
    machine.at(ETC / "scripts/pre.sh").write_text("#!/bin/sh\n")
    machine.at(ETC / "agent.conf").write_text("[scripts]\ndelivered = no\n")

    done = machine.sh("uninstall")

    assert "/etc/stillframe/scripts is kept" in done.stdout
    assert machine.at(ETC / "agent.conf").read_text() == "[scripts]\ndelivered = no\n"
    assert machine.sh("uninstall").returncode == 0


def test_a_second_installation_changes_nothing(machine: Machine, stub: QueueStub) -> None:
    machine.install(STILLFRAME_BOOTSTRAP=bootstrap(stub))
    before = machine.versions(), machine.at(ETC / "enrolment.json").read_text()
    main = (machine.folder / "notes/main").read_text()

    assert machine.install().returncode == 0

    assert (machine.versions(), machine.at(ETC / "enrolment.json").read_text()) == before
    assert (machine.folder / "notes/main").read_text() == main


def test_what_is_wrong_is_said_and_nothing_is_installed(machine: Machine) -> None:
    not_an_agent = machine.folder / "text.pyz"
    not_an_agent.write_text("nothing")
    assert machine.install(str(not_an_agent)).returncode == 5
    assert not machine.at(HOME).exists()

    refused = machine.install(STILLFRAME_BOOTSTRAP='{"vm": "/v", "key": "secret"}')
    assert refused.returncode == 6
    assert "STILLFRAME_BOOTSTRAP.key" in refused.stderr
    assert "secret" not in refused.stderr
    assert machine.sh("install").returncode == 2
    assert machine.sh().returncode == 2


def test_no_python_is_said_in_words(machine: Machine) -> None:
    machine.box.run("mount", "--bind", "/bin/false", str(Path("/usr/bin/python3").resolve()))

    done = machine.install(PATH="/usr/bin:/bin")

    assert done.returncode == 4
    assert "install the distribution's python3" in done.stderr


def test_systemd_understands_the_unit(machine: Machine, stub: QueueStub) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    machine.install(STILLFRAME_BOOTSTRAP=bootstrap(stub))
    unit = machine.folder / "stillframe-agent.service"
    unit.write_text(machine.at(UNIT).read_text())

    verified = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], check=False, capture_output=True, text=True
    )

    assert [line for line in verified.stderr.splitlines() if "stillframe-agent" in line] == []


def test_only_root_installs() -> None:
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root and setpriv")
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-s", "uninstall"],
        check=False,
        capture_output=True,
        text=True,
        input=installer(),
    )

    assert done.returncode == 2
    assert "as root" in done.stderr
