"""Handlers whose servers are not in Debian, against stand-ins of their client tools; and services."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent import processes
from agent.handlers import Handler, HandlerFailed, Undo, known
from agent.holders import Holders, Surroundings
from agent.holds import HoldLog, Note
from agent.journal import Journal
from agent.linux import Linux
from agent.orders import HandlerSpec, Quiesce
from agent.system import Clock
from agent.undoing import Undoing
from tests.integration.agent.app_side import until

STAND_INS = Path(__file__).parent / "stand_ins"


class Site:
    """A guest's file, and the state of one stand-in."""

    def __init__(self, folder: Path, **state: Any) -> None:
        self.folder = folder
        self._state = folder / "server.json"
        self._config = folder / "agent.conf"
        self._state.write_text(json.dumps({"log": [], **state}))
        self.configure("")
        self.environ = {
            **os.environ,
            "PATH": f"{STAND_INS}:{os.environ['PATH']}",
            "STAND_IN_STATE": str(self._state),
            "STILLFRAME_CONFIG": str(self._config),
        }

    def configure(self, text: str) -> None:
        self._config.write_text(text)
        self._config.chmod(0o600)

    @property
    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._state.read_text())
        return found

    def change(self, **members: Any) -> None:
        self._state.write_text(json.dumps({**self.state, **members}))

    def handler(self, name: str, mode: str = "", **settings: str) -> Handler:
        return known.make(HandlerSpec(name, mode, settings=tuple(settings.items())), self.environ)


@pytest.fixture
def notes() -> list[Undo]:
    return []


def failure(handler: Handler) -> HandlerFailed:
    try:
        handler.preflight(10_000)
        handler.quiesce(10_000, lambda _undo: None)
    except HandlerFailed as failed:
        return failed
    finally:
        handler.close()
    raise AssertionError("it was held")


# --- MongoDB ----------------------------------------------------------------------------


@pytest.fixture
def mongo(tmp_path: Path) -> Site:
    return Site(tmp_path, locks=0, pid=77, uptime=500, version="7.0.14")


def test_mongodb_is_locked_once_and_unlocked_once(mongo: Site, notes: list[Undo]) -> None:
    handler = mongo.handler("mongodb")

    assert handler.preflight(10_000) == ()
    held = handler.quiesce(10_000, notes.append)
    assert mongo.state["locks"] == 1
    proof = handler.resume()

    assert (held.name, held.mode, notes) == ("mongodb:27017", "frozen", [{"locked": "1"}])
    assert proof.whole
    assert mongo.state["locks"] == 0
    assert handler.verify() == ""
    handler.close()


def test_mongodb_that_somebody_else_locked_is_left_alone(mongo: Site) -> None:
    mongo.change(locks=1)

    assert failure(mongo.handler("mongodb")).reason == "held_already"
    assert mongo.state["locks"] == 1


@pytest.mark.parametrize("change", [{"locks": 0}, {"pid": 78}, {"uptime": 1}])
def test_mongodb_unlocked_or_started_again_meanwhile_is_not_whole(mongo: Site, change: Any) -> None:
    handler = mongo.handler("mongodb")
    handler.preflight(10_000)
    handler.quiesce(10_000, lambda _undo: None)

    mongo.change(**change)

    assert not handler.resume().whole
    assert mongo.state["locks"] == 0
    handler.close()


def test_mongodbs_connection_string_is_in_no_error_and_on_no_command_line(mongo: Site) -> None:
    secret = mongo.folder / "uri"
    secret.write_text("mongodb://backup:geheim@127.0.0.1/")
    mongo.configure(f"[mongodb]\nuri_file = {secret}\n")
    mongo.change(refuse={"connect(": "AuthenticationFailed"})

    failed = failure(mongo.handler("mongodb"))

    assert failed.reason == "denied"
    assert "geheim" not in str(failed)
    assert "geheim" in mongo.state["log"][0]


def test_mongodb_has_no_mode_that_nobody_showed(mongo: Site) -> None:
    with pytest.raises(HandlerFailed, match="expected one of frozen"):
        mongo.handler("mongodb", "drained")


def test_what_a_killed_holder_left_locked_is_unlocked_by_one_alone(mongo: Site, tmp_path: Path) -> None:
    mongo.change(locks=1)
    journal, system = Journal(str(tmp_path / "state")), Linux()
    clock = Clock(system.monotonic_ms, system.monotonic_ms)
    gone = subprocess.Popen(["true"])
    owner = f"{gone.pid}:0"
    gone.wait()
    HoldLog(journal, "saga", 1).note(
        Note(0, HandlerSpec("mongodb"), owner, "mongodb:27017", (("locked", "1"),))
    )
    outcomes: list[Any] = []

    def undo() -> None:
        outcomes.append(Undoing(system, clock, journal, mongo.environ, "saga", 1).all())

    threads = [threading.Thread(target=undo) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert mongo.state["locks"] == 0
    assert sum("fsyncUnlock" in line for line in mongo.state["log"]) == 1
    assert outcomes == [outcomes[0]] * 3
    (evidence,), _ = outcomes[0]
    assert (evidence.name, evidence.whole, evidence.released) == ("mongodb:27017", False, True)


# --- SQL Server -------------------------------------------------------------------------


@pytest.fixture
def mssql(tmp_path: Path) -> Site:
    names = [f"db{i}" for i in range(70)] + ["odd]name"]
    return Site(tmp_path, version=16, started="2026-01-01T00:00:00", databases=names, suspended={})


def test_sqlserver_is_suspended_in_groups_of_64_and_let_go_by_one_command(
    mssql: Site, notes: list[Undo]
) -> None:
    handler = mssql.handler("sqlserver")

    handler.preflight(10_000)
    held = handler.quiesce(60_000, notes.append)
    assert len(mssql.state["suspended"]) == 71
    proof = handler.resume()

    suspends = [text for text in mssql.state["log"] if "= ON" in text]
    assert [text.count("[") for text in suspends] == [64, 7]
    assert all("MODE = COPY_ONLY" in text for text in suspends)
    assert [text.count("= OFF") for text in mssql.state["log"] if "= OFF" in text] == [71]
    assert len(notes[-1]["suspended"].split("\n")) == 71
    assert proof.whole, proof
    assert held.mode == "frozen"
    assert mssql.state["suspended"] == {}
    assert handler.verify() == ""


def test_sqlserver_keeps_a_metadata_file_where_wanted(mssql: Site) -> None:
    mssql.configure(f"[sqlserver]\nbackup_folder = {mssql.folder}\ndatabases = db1, db2\n")
    handler = mssql.handler("sqlserver", copy_only="no")
    handler.preflight(10_000)
    handler.quiesce(10_000, lambda _undo: None)

    proof = handler.resume()

    assert proof.whole
    assert [path.suffix for path in mssql.folder.glob("*.bkm")] == [".bkm"]
    assert not any("COPY_ONLY" in text for text in mssql.state["log"])
    assert mssql.state["suspended"] == {}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"suspended": {}}, "not suspended all the time"),
        ({"suspended": {"db1": 0}}, "not suspended all the time"),
        ({"started": "2026-01-02T00:00:00"}, "started again"),
    ],
)
def test_sqlserver_let_go_meanwhile_is_not_whole(mssql: Site, change: Any, words: str) -> None:
    mssql.configure("[sqlserver]\ndatabases = db1\n")
    handler = mssql.handler("sqlserver")
    handler.preflight(10_000)
    handler.quiesce(10_000, lambda _undo: None)
    handler._since -= 60  # type: ignore[attr-defined] # a minute ago

    mssql.change(**change)
    proof = handler.resume()

    assert not proof.whole
    assert words in proof.detail
    assert mssql.state["suspended"] == {}


def test_a_server_that_is_suspended_as_a_whole_is_let_go_as_a_whole(mssql: Site) -> None:
    mssql.change(suspended={"db1": 5, "db2": 5}, whole=True)

    mssql.handler("sqlserver").undo({"suspended": "db1\ndb2"})

    assert mssql.state["suspended"] == {}
    assert [text for text in mssql.state["log"] if "OFF" in text] == [
        "SET NOCOUNT ON; ALTER SERVER CONFIGURATION SET SUSPEND_FOR_SNAPSHOT_BACKUP = OFF;"
    ]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"version": 15}, "too_old"),
        ({"suspended": {"db1": 5}}, "held_already"),
        ({"databases": []}, "absent"),
        ({"refuse": {"= ON": "5069, Level 16\nALTER DATABASE statement failed."}}, "refused"),
    ],
)
def test_sqlserver_that_cannot_be_held_is_refused(mssql: Site, change: Any, reason: str) -> None:
    mssql.change(**change)

    assert failure(mssql.handler("sqlserver")).reason == reason


def test_sqlservers_password_goes_by_the_environment(mssql: Site) -> None:
    secret = mssql.folder / "password"
    secret.write_text("geheim\n")
    mssql.configure(f"[sqlserver]\nlogin = backup\npassword_file = {secret}\n")
    mssql.change(password="other")

    wrong = failure(mssql.handler("sqlserver"))
    mssql.change(password="geheim")
    mssql.handler("sqlserver").preflight(10_000)

    assert "Login failed" in wrong.detail
    assert "geheim" not in wrong.detail


# --- MySQL ------------------------------------------------------------------------------


@pytest.fixture
def mysql(tmp_path: Path) -> Site:
    limits = {"innodb_max_dirty_pages_pct": "90.000000", "innodb_max_dirty_pages_pct_lwm": "10.000000"}
    return Site(tmp_path, version="8.0.39", dirty=20, written=4096, limits=limits)


def test_mysql_is_drained_under_its_lock_and_gets_its_limits_back(mysql: Site, notes: list[Undo]) -> None:
    handler = mysql.handler("mysql", "drained")
    handler.preflight(10_000)

    held = handler.quiesce(10_000, notes.append)
    assert mysql.state["dirty"] == 0
    proof = handler.resume()

    assert (held.name, held.mode) == ("mysql:3306", "drained")
    assert proof.whole
    limits = {name: float(value) for name, value in mysql.state["limits"].items()}
    assert limits == {"innodb_max_dirty_pages_pct": 90.0, "innodb_max_dirty_pages_pct_lwm": 10.0}
    assert notes[0] == {
        "innodb_max_dirty_pages_pct": "90.000000",
        "innodb_max_dirty_pages_pct_lwm": "10.000000",
    }
    handler.close()


def test_mysql_that_wrote_while_drained_is_not_whole(mysql: Site) -> None:
    handler = mysql.handler("mysql", "drained")
    handler.preflight(10_000)
    handler.quiesce(10_000, lambda _undo: None)

    mysql.change(written=8192)

    assert not handler.resume().whole
    handler.close()


def test_mysql_that_never_drains_gives_up_in_time(mysql: Site) -> None:
    handler = mysql.handler("mysql", "drained")
    handler.preflight(10_000)
    mysql.change(refuse={"SET GLOBAL": "1227 (42000) at line 1: Access denied; you need SUPER"})

    with pytest.raises(HandlerFailed) as caught:
        handler.quiesce(3_000, lambda _undo: None)

    assert caught.value.reason == "denied"
    handler.close()


def test_mysql_behind_a_long_statement_is_busy(mysql: Site) -> None:
    mysql.change(refuse={"FLUSH TABLES": "1205 (HY000) at line 1: Lock wait timeout exceeded"})

    assert failure(mysql.handler("mysql")).reason == "busy"


def test_mariadb_is_not_taken_for_mysql(mysql: Site) -> None:
    mysql.change(version="10.11.9-MariaDB-log")

    assert "another handler" in failure(mysql.handler("mysql")).detail


# --- services ---------------------------------------------------------------------------


def unit(state: str = "active") -> dict[str, str]:
    return {
        "LoadState": "loaded",
        "ActiveState": state,
        "ControlGroup": "",
        "InactiveEnterTimestampMonotonic": "0",
    }


@pytest.fixture
def services(tmp_path: Path) -> Site:
    site = Site(tmp_path, units={"web": unit(), "db": unit(), "idle": unit("inactive")})
    site.configure("[services]\nunits = db web idle\n")
    return site


def test_services_that_run_are_stopped_in_reverse_and_started_again(services: Site) -> None:
    handler = services.handler("services")

    warnings = handler.preflight(10_000)
    held = handler.quiesce(10_000, lambda _undo: None)
    stopped = {name: found["ActiveState"] for name, found in services.state["units"].items()}
    proof = handler.resume()

    assert len(warnings) == 1
    assert held.mode == "stopped"
    assert set(stopped.values()) == {"inactive"}
    assert [w for w in services.state["log"] if w.startswith("stop")] == ["stop web", "stop db"]
    assert proof.whole
    assert services.state["units"]["db"]["ActiveState"] == "active"
    assert services.state["units"]["idle"]["ActiveState"] == "inactive"
    assert handler.verify() == ""


def test_a_service_that_starts_slowly_is_proved_all_the_same(
    services: Site, pyz: str, tmp_path: Path
) -> None:
    services.change(start_s=4)
    system = Linux()
    around = Surroundings(
        system,
        Clock(system.monotonic_ms, system.monotonic_ms),
        Journal(str(tmp_path / "state")),
        services.environ,
        (sys.executable, pyz, "hold", str(tmp_path / "state")),
    )
    holders = Holders(around, "saga", 1, system.monotonic_ms() + 60_000, lambda _heard: None)
    holders.prepare(Quiesce(10_000, 60_000, None, None, "none", (HandlerSpec("services"),)))
    holders.hold(10_000)

    released = holders.release()
    holders.close()

    [evidence] = released.evidence
    assert (evidence.whole, evidence.released, evidence.detail) == (True, True, "")
    assert services.state["units"]["db"]["ActiveState"] == "active"


def test_a_service_that_does_not_stop_is_refused(services: Site) -> None:
    services.change(stubborn=["db"])

    assert failure(services.handler("services")).reason == "refused"


def test_a_service_that_was_started_meanwhile_is_not_whole(services: Site) -> None:
    handler = services.handler("services")
    handler.preflight(10_000)
    handler.quiesce(10_000, lambda _undo: None)
    units = services.state["units"]
    units["db"]["ActiveState"] = "active"

    services.change(units=units)

    assert not handler.resume().whole


def test_an_order_stops_only_what_the_guest_names(services: Site) -> None:
    with pytest.raises(HandlerFailed, match="expected some of"):
        services.handler("services", units="sshd")


@pytest.fixture
def family(services: Site) -> Iterator[subprocess.Popen[bytes]]:
    """A process with a child, named by a pid file."""
    process = subprocess.Popen(["sh", "-c", "sleep 600 & wait"], start_new_session=True)
    until(lambda: len(processes.family(process.pid)) == 2, "the child")
    path = services.folder / "app.pid"
    path.write_text(f"{process.pid}\n")
    services.configure(f"[services]\npid_files = {path}\n")
    yield process
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def states(process: subprocess.Popen[bytes]) -> set[str]:
    return {found.state for pid in processes.family(process.pid) if (found := processes.read(pid))}


def test_processes_are_halted_with_their_children_and_go_on(
    services: Site, family: subprocess.Popen[bytes]
) -> None:
    handler = services.handler("services", "sigstop")
    handler.preflight(10_000)
    held = handler.quiesce(10_000, lambda _undo: None)
    assert held.mode == "halted"
    assert states(family) == {"T"}

    proof = handler.resume()

    assert proof.whole
    until(lambda: "T" not in states(family), "they go on")
    assert handler.verify() == ""


def test_a_halted_process_that_somebody_woke_is_not_whole(
    services: Site, family: subprocess.Popen[bytes]
) -> None:
    handler = services.handler("services", "sigstop")
    handler.preflight(10_000)
    handler.quiesce(10_000, lambda _undo: None)

    os.kill(family.pid, signal.SIGCONT)
    until(lambda: states(family) != {"T"}, "it woke")

    assert not handler.resume().whole


# --- what all have in common ------------------------------------------------------------


def test_a_missing_client_is_said(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.environ["PATH"] = str(tmp_path)

    assert failure(site.handler("mongodb")).reason == "client_missing"


def test_a_setting_of_the_guest_that_means_nothing_is_named(mongo: Site) -> None:
    mongo.configure("[mongodb]\npasswort = x\n")

    with pytest.raises(HandlerFailed, match=r"section\.passwort: expected one of"):
        mongo.handler("mongodb")


def test_an_instance_needs_its_section(mongo: Site) -> None:
    with pytest.raises(HandlerFailed, match=r"expected a section \[mongodb:second\]"):
        mongo.handler("mongodb", instance="second")
