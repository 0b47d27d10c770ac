"""The agent that is installed in a guest and waits for its sessions."""

import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import enrolment
from agent.config import Bootstrap, read_bootstrap
from shared import protocol
from tests.integration.agent.app_side import VM, App, enrolled, hooks, runs, until
from tests.integration.agent.imds import ImdsStub
from tests.integration.agent.process import LocalAgent
from tests.integration.agent.stub import QueueStub

NEW_KEY = protocol.vm_key(b"master secret of these tests, 32", VM, 2)


class NewApp(App):
    """The app after its keys have changed: acks of the old key are none."""

    def __init__(self, stub: QueueStub, saga: str) -> None:
        super().__init__(stub, saga)
        self.vm_key = NEW_KEY
        self.key = protocol.session_key(NEW_KEY, saga)


def bootstrap_of(stub: QueueStub) -> Bootstrap:
    return read_bootstrap(json.dumps(enrolled(stub)))


@pytest.fixture
def installed(tmp_path: Path, pyz: str) -> Iterator[LocalAgent]:
    """An agent as the installer lays it out: a link to one version's file."""
    tmp_path.chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(pyz, home / "agent-1.pyz")
    (home / "agent.pyz").symlink_to(home / "agent-1.pyz")
    agent = LocalAgent(str(home / "agent-1.pyz"), tmp_path)
    yield agent
    agent.close()


def test_a_resident_agent_serves_one_session_after_the_other(installed: LocalAgent, stub: QueueStub) -> None:
    process = installed.reside(enrolled(stub))
    for number in (1, 2):
        app = App(stub, f"saga-{number}")
        app.send(app.arm())
        ready = app.answer()
        assert ready.body["resident"] is True
        assert (ready.body["protocol"], ready.body["key_version"]) == (1, 1)
        app.release()
        assert app.answer().kind == "released"

    assert process.poll() is None
    process.terminate()
    assert process.wait(30) == 0


def test_an_agent_that_a_run_command_started_says_that_it_is_not_resident(
    local_agent: LocalAgent, app: App
) -> None:
    local_agent.start(app)

    assert app.answer().body["resident"] is False


def test_a_run_command_hands_its_session_to_the_resident_agent_which_stays(
    installed: LocalAgent, stub: QueueStub
) -> None:
    resident = installed.reside(enrolled(stub))
    until((installed.state / "agent.log").exists, "the resident agent")
    app = App(stub)

    starter = installed.start(app)

    assert app.answer().body["resident"] is True
    assert starter.wait(30) == 0
    app.release()
    app.answer()
    assert resident.poll() is None


def test_a_newer_key_is_taken_from_a_run_command_and_kept_for_the_next_start(
    installed: LocalAgent, stub: QueueStub
) -> None:
    resident = installed.reside(enrolled(stub))
    until((installed.state / "agent.log").exists, "the resident agent")
    app = NewApp(stub, "saga-2")

    installed.start(app, bootstrap={"key": NEW_KEY.hex(), "key_version": 2})

    assert app.answer().body["key_version"] == 2
    app.release()
    app.answer()
    resident.terminate()
    assert resident.wait(30) == 0
    kept = read_bootstrap(installed.enrolment.read_text())
    assert (kept.key, kept.key_version, kept.command) == (NEW_KEY, 2, "")
    assert installed.enrolment.stat().st_mode & 0o777 == 0o600
    later = NewApp(stub, "saga-3")
    installed.reside({})
    later.send(later.arm())
    assert later.answer().body["key_version"] == 2


def test_an_old_key_opens_nothing_once_there_is_a_new_one(installed: LocalAgent, stub: QueueStub) -> None:
    installed.reside(enrolled(stub, key=NEW_KEY.hex(), key_version=2))
    old = App(stub)

    old.send(old.arm())

    until(lambda: installed.counters().get("bad_signature") == 1, "the refusal")
    assert stub.size("acks") == 0


def test_a_resident_agent_with_an_identity_keeps_it_when_a_run_command_brings_a_sas(
    installed: LocalAgent, stub: QueueStub, imds: ImdsStub
) -> None:
    stub.bearer = "token-1"
    urls = {"command_queue": stub.plain_url("commands"), "ack_queue": stub.plain_url("acks")}
    installed.reside(enrolled(stub, **urls, credential="managed_identity"), STILLFRAME_IMDS=imds.url)
    until(lambda: imds.asked, "the resident agent")
    app = App(stub)

    installed.start(app)

    assert app.answer().kind == "ready"
    assert read_bootstrap(installed.enrolment.read_text()).credential == "managed_identity"


def test_an_upgrade_waits_until_the_session_has_ended(
    installed: LocalAgent, stub: QueueStub, tmp_path: Path
) -> None:
    resident = installed.reside(enrolled(stub))
    app = App(stub)
    app.send(app.arm())
    app.answer()
    app.quiesce(filesystems="none", **hooks(tmp_path))
    assert app.answer().kind == "quiesced"

    home = tmp_path / "home"
    shutil.copy(home / "agent-1.pyz", home / "agent-2.pyz")
    (home / "new").symlink_to(home / "agent-2.pyz")
    (home / "new").replace(home / "agent.pyz")

    app.resume()
    assert app.answer().body["held_until_order"]
    assert resident.poll() is None
    app.release()
    app.answer()
    assert resident.wait(30) == 0
    assert runs(tmp_path, "post") == ["1"]
    assert "another version was installed" in installed.log()


def test_a_resident_agent_waits_for_the_agent_of_a_single_session(
    installed: LocalAgent, stub: QueueStub
) -> None:
    app = App(stub)
    single = installed.start(app)
    app.answer()
    resident = installed.reside(enrolled(stub))
    app.release()
    app.answer()

    assert single.wait(30) == 0
    later = App(stub, "saga-2")
    later.send(later.arm())
    assert later.answer().body["resident"] is True
    assert resident.poll() is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_an_enrolment_that_others_can_read_or_write_is_refused(
    installed: LocalAgent, stub: QueueStub, mode: int
) -> None:
    installed.enrolment.write_text("{}")
    installed.enrolment.chmod(mode)

    process = installed.reside(enrolled(stub))
    _, told = process.communicate(timeout=30)

    assert process.returncode == 2
    assert b"chmod 600" in told


def test_enrolling_keeps_the_bootstrap_without_its_command(
    installed: LocalAgent, stub: QueueStub, app: App
) -> None:
    bootstrap = read_bootstrap('{"vm":"/v","key":"00","command_queue":"http://a/b","ack_queue":"http://a/c"}')
    environ = {enrolment.SETTING: str(installed.enrolment)}

    enrolment.save(environ, bootstrap._replace(command=app.arm(), client_id="11-22"))

    assert enrolment.load(environ) == bootstrap._replace(stay=True, client_id="11-22")


def checked(agent: LocalAgent) -> tuple[int, dict[str, tuple[str, str]]]:
    process = agent.run("check", stdout=subprocess.PIPE)
    told, _ = process.communicate(timeout=60)
    lines = [line.split(maxsplit=2) for line in told.decode().splitlines()]
    return process.returncode, {name: (verdict, detail) for verdict, name, detail in lines}


def test_a_check_says_that_the_queues_are_reached_and_adds_nothing(
    installed: LocalAgent, stub: QueueStub
) -> None:
    installed.enrolment.touch(0o600)
    enrolment.save({enrolment.SETTING: str(installed.enrolment)}, bootstrap_of(stub))
    _, found = checked(installed)

    looked_at = ("python", "enrolment", "queue-dns", "queue-tcp", "queue-http", "commands", "acks", "clock")
    assert [(name, found[name][0]) for name in looked_at] == [(name, "ok") for name in looked_at]
    assert (stub.size("commands"), stub.size("acks")) == (0, 0)


def test_a_check_says_what_would_stop_the_agent(installed: LocalAgent, stub: QueueStub) -> None:
    environ = {enrolment.SETTING: str(installed.enrolment)}
    enrolment.save(environ, bootstrap_of(stub)._replace(command_queue=stub.plain_url("commands")))
    refused, found = checked(installed)
    assert (refused, found["commands"][0]) == (1, "failed")
    assert "sp=p" in found["commands"][1]

    stub.down = True
    _, found = checked(installed)
    assert "outbound 443" in found["queue-http"][1]
    assert "acks" not in found, "what cannot be reached is not asked for a right"

    installed.enrolment.chmod(0o644)
    assert checked(installed)[1]["enrolment"][0] == "warning"


def test_a_check_says_that_the_guests_clock_is_wrong(installed: LocalAgent, stub: QueueStub) -> None:
    enrolment.save({enrolment.SETTING: str(installed.enrolment)}, bootstrap_of(stub))
    stub.date_shift_s = 7200

    _, found = checked(installed)

    assert found["clock"][0] == "failed"
    assert found["clock"][1].startswith("-7")


def test_a_terminated_resident_agent_lets_go_first(
    installed: LocalAgent, stub: QueueStub, tmp_path: Path
) -> None:
    resident = installed.reside(enrolled(stub))
    app = App(stub)
    app.send(app.arm())
    app.answer()
    app.quiesce(filesystems="none", **hooks(tmp_path))
    app.answer()

    resident.send_signal(signal.SIGTERM)

    assert resident.wait(60) == 0
    assert runs(tmp_path, "post") == ["1"]
