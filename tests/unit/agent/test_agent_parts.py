"""Bootstrap, orders, journal, queue URLs and the build: the small parts."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent import bodies, build, config, moves, orders, queues, records
from agent.journal import FreezeLog, Journal, Left, Saved, UnsafeStateDir
from agent.records import Answer, Evidence, Failure, QuiesceFailed, Ready, ScriptResult
from agent.state import Attempt, Past, State
from shared import protocol

GOOD = {
    "vm": "/subscriptions/s/vm",
    "key": "00ff",
    "command_queue": "https://a.queue.core.windows.net/c?sig=x",
    "ack_queue": "https://a.queue.core.windows.net/a?sig=x",
}
PLAN = orders.Quiesce(5, 10, orders.ScriptSpec("/pre", ("a",), 5), None, "all")


def command(kind: str, body: dict[str, object]) -> protocol.Command:
    return protocol.Command(kind, "/vm", "saga", 1, 2, 3, body)


def test_a_bootstrap_is_read_and_taken_out_of_the_environment() -> None:
    environ = {config.BOOTSTRAP: json.dumps(GOOD), "PATH": "/bin"}

    bootstrap = config.read_bootstrap(config.take_bootstrap(environ))

    assert bootstrap == config.Bootstrap(
        GOOD["vm"], b"\x00\xff", GOOD["command_queue"], GOOD["ack_queue"], "", stay=False
    )
    assert environ == {"PATH": "/bin"}


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"key": "xyz"}, ".key"),
        ({"vm": 1}, ".vm"),
        ({"ack_queue": ""}, ".ack_queue"),
        ({"stay": "yes"}, ".stay"),
        ({"command": {}}, ".command"),
        ({"key_version": True}, ".key_version"),
        ({"credential": "password"}, ".credential"),
        ({"client_id": 7}, ".client_id"),
        ({"command_queue": "https://a.queue.core.windows.net/c?sig=x y"}, ".command_queue"),
        ({"command_queue": "https://a.queue.core.windows.net/c?sig=x\n"}, ".command_queue"),
        ({"ack_queue": "ftp://a/b"}, ".ack_queue"),
    ],
)
def test_a_wrong_bootstrap_is_refused_by_the_name_of_its_member(change: dict[str, object], name: str) -> None:
    with pytest.raises(config.BadSetting) as raised:
        config.read_bootstrap(json.dumps({**GOOD, **change}))

    assert raised.value.name == config.BOOTSTRAP + name


@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_a_bootstrap_that_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(config.BadSetting):
        config.read_bootstrap(text)


@pytest.mark.parametrize("environ", [{config.POLL: "fast"}, {config.POLL: "1"}, {config.STATE_DIR: "here"}])
def test_wrong_settings_are_refused(environ: dict[str, str]) -> None:
    with pytest.raises(config.BadSetting):
        config.read_settings(environ)


def test_a_quiesce_is_typed() -> None:
    script = {"path": "/pre", "arguments": ["a"], "timeout_ms": 5}
    body = {"quiesce_timeout_ms": 5, "freeze_budget_ms": 10, "pre_script": script, "post_script": None}

    assert orders.parse(command("quiesce", body)).details == PLAN


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"quiesce_timeout_ms": 0}, "body.quiesce_timeout_ms"),
        ({"freeze_budget_ms": True}, "body.freeze_budget_ms"),
        ({"filesystems": "some"}, "body.filesystems"),
        ({"pre_script": "x"}, "body.pre_script"),
        ({"pre_script": {"path": "", "timeout_ms": 1}}, "body.pre_script"),
        ({"pre_script": {"path": "/a", "arguments": [1], "timeout_ms": 1}}, "body.pre_script.arguments"),
        ({"post_script": {"path": "/a", "arguments": []}}, "body.post_script.timeout_ms"),
    ],
)
def test_a_wrong_order_is_refused_by_the_name_of_its_member(change: dict[str, object], field: str) -> None:
    body: dict[str, object] = {"quiesce_timeout_ms": 5, "freeze_budget_ms": 10, **change}

    with pytest.raises(protocol.Malformed) as raised:
        orders.parse(command("quiesce", body))

    assert raised.value.field == field


def test_the_journal_gives_back_what_it_was_given(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "state"))
    result = ScriptResult(
        "/pre", started=True, exit_code=0, timed_out=False, duration_ms=3, output="ä", reason=""
    )
    failed = Answer(
        "quiesce_failed", "s", 1, 2, 3, QuiesceFailed(Failure("a", "b"), window_ms=1, script=result)
    )
    state = State("held", "s", 3, failed, 2, 0, attempt=Attempt(1, 3, PLAN, 1, 2, 3, pre=result))
    saved = Saved("boot", state._replace(past=(Past("p", 1, None, 1, 1),)), (failed,))

    journal.save(saved)

    assert journal.load("boot") == saved
    assert journal.load("another boot") is None


def test_a_journal_of_another_version_is_not_believed(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "state"))
    document = records.to_json(Saved("boot", State(), ()))
    document["state"]["mood"] = "good"
    Path(journal.file("state.json")).write_text(json.dumps(document))

    assert journal.load("boot") is None


def test_a_state_folder_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(0o777)

    with pytest.raises(UnsafeStateDir):
        Journal(str(tmp_path / "state"))


def test_what_the_dead_man_left_counts_for_its_own_generation_only(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "state"))
    left = Left("s", 2, "dead-man", (Evidence("filesystem", "/data", whole=True),))

    journal.save_left(left)

    assert journal.load_left("s", 2) == left
    assert journal.load_left("s", 1) is None


def test_the_freeze_log_tells_the_last_word_on_each_mount_also_when_its_writer_died(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "state"))
    log = FreezeLog(journal)
    log.start("s", 1, ("/a", "/b", "/c"))
    log.note(0, FreezeLog.BEGUN)
    log.note(0, FreezeLog.FROZEN)
    log.note(1, FreezeLog.BEGUN)
    with Path(journal.file("freezes")).open("a") as file:
        file.write('{"mount": 2, "wh')

    assert FreezeLog(journal).read("s", 1) == [("/a", "frozen"), ("/b", "begun")]
    assert FreezeLog(journal).read("s", 2) == []


@pytest.mark.parametrize(
    "url", ["http://example.org/q?x", "ftp://127.0.0.1/q", "http://127.0.0.1.example.org/q"]
)
def test_plain_http_is_spoken_to_this_machine_only(url: str) -> None:
    with pytest.raises(queues.InsecureUrl):
        queues.Queue(url, 1.0)


def test_every_kind_of_facts_has_a_body_that_can_be_signed() -> None:
    guest = bodies.Guest("/vm", "boot", "linux", "3.6.0", "0.1.0")

    ack = bodies.ack(Answer("ready", "s", 1, 1, 1, Ready(armed=True, locked=False)), guest, 5)

    assert ack.body == {
        "boot_id": "boot",
        "agent_version": "0.1.0",
        "os": "linux",
        "python": "3.6.0",
        "protocol": 1,
        "resident": False,
        "key_version": 1,
        "dead_man": {"armed": True, "locked": False},
    }
    text = protocol.encode_ack(ack, b"key")
    assert protocol.decode_ack(text, lambda _vm, _saga: b"key") == ack


def test_the_build_is_the_same_to_the_byte_and_runs(tmp_path: Path) -> None:
    one = build.build(str(tmp_path / "one.pyz"))
    os.utime(build.__file__)
    two = build.build(str(tmp_path / "two.pyz"))

    assert Path(one).read_bytes() == Path(two).read_bytes()
    done = subprocess.run([sys.executable, one, "--version"], check=True, capture_output=True, text=True)
    assert done.stdout == "0.1.0\n"


def test_the_agent_uses_no_syntax_or_module_newer_than_python_3_6() -> None:
    folder = Path(build.__file__).parent
    vermin = Path(sys.executable).with_name("vermin")
    if not vermin.exists():
        pytest.skip("vermin is not installed")

    done = subprocess.run(
        [
            vermin,
            "-t=3.6-",
            "--violations",
            "--no-tips",
            str(folder),
            str(folder.parent / "shared/protocol.py"),
        ],
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stdout


def test_records_keep_their_type_on_the_way_to_the_dead_man() -> None:
    types = dict(records.types_of(moves), **records.types_of(records))
    event = moves.FilesystemsReleased(1, (Evidence("filesystem", "/data", whole=True),))

    there = records.from_json(json.loads(json.dumps(records.to_json(event))), types)

    assert there == event
    assert type(there) is moves.FilesystemsReleased
    assert type(there.evidence[0]) is Evidence
