"""Real databases held by their handlers, on real disks, under the real agent; everything killed in turn."""

import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.agent.app_side import App, hooks, runs, until
from tests.integration.agent.box import Box, eventually_written, opened, why_not
from tests.integration.agent.databases import MariaDB, Postgres, Server, why_no_mariadb, why_no_postgres

pytestmark = pytest.mark.world

Database = Postgres | MariaDB


class Guest:
    """A box with a database on a disk of its own."""

    def __init__(self, box: Box, handler: str) -> None:
        self.box = box
        self.handler = handler
        self.disk = box.disk("data", megabytes=300)
        place = box.folder / "server"
        self.server: Database = (Postgres if handler == "postgresql" else MariaDB)(
            place, self.disk, box.entrance
        )
        self.server.start().make()
        self.config = box.folder / "agent.conf"
        self.configure(self.server.section())

    def configure(self, text: str) -> None:
        self.config.write_text(f"[scripts]\nfolders = {self.box.folder}\n{text}")
        self.config.chmod(0o600)

    def agent(self, app: App, **more: Any) -> None:
        self.box.agent(app, mounts=(self.disk,), STILLFRAME_CONFIG=str(self.config), **more)

    def quiesce(self, app: App, mode: str, **body: Any) -> None:
        app.quiesce(handlers=[{"name": self.handler, "mode": mode}], **body)

    def writes_again(self) -> None:
        until(self.server.writes, "the database writes again")


@pytest.fixture(params=["postgresql", "mariadb"])
def guest(request: pytest.FixtureRequest, pyz: str) -> Iterator[Guest]:
    reason = why_not() or (why_no_postgres() if request.param == "postgresql" else why_no_mariadb())
    if reason:
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="stillframe-") as folder:  # pytest's own are closed to others
        Path(folder).chmod(0o755)
        with opened(Path(folder), pyz) as box:
            yield Guest(box, request.param)


def evidence(body: dict[str, Any], kind: str) -> list[tuple[str, bool, str]]:
    return [(e["name"], e["held_until_order"], e["detail"]) for e in body["held"] if e["kind"] == kind]


@pytest.mark.parametrize("mode", ["frozen", "drained"])
def test_a_database_is_held_with_its_disk_until_the_order(guest: Guest, app: App, mode: str) -> None:
    guest.agent(app)
    guest.quiesce(app, mode, **hooks(guest.box.folder))

    quiesced = app.answer()
    assert quiesced.kind == "quiesced", quiesced.body
    assert not guest.server.writes()
    app.resume()
    resumed = app.answer()

    held = {(h["kind"], h["mode"]) for h in quiesced.body["held"]}
    assert held == {("script", ""), ("handler", mode), ("filesystem", "")}
    assert resumed.body["held_until_order"], resumed.body
    assert [whole for _, whole, _ in evidence(resumed.body, "handler")] == [True]
    assert resumed.body["warnings"] == []
    assert runs(guest.box.folder, "post") == ["1"]
    guest.writes_again()


def test_drained_alone_holds_every_write(guest: Guest, app: App, python: str) -> None:
    guest.agent(app, python=python)
    guest.quiesce(app, "drained", filesystems="none")

    assert app.answer().kind == "quiesced", app.acks[-1].body
    assert not guest.server.writes()
    app.resume()

    assert app.answer().body["held_until_order"], app.acks[-1].body
    guest.writes_again()


def test_a_killed_handler_fails_the_generation_at_once(guest: Guest, app: App) -> None:
    guest.agent(app)
    guest.quiesce(app, "drained", freeze_budget_ms=300_000, **hooks(guest.box.folder))
    assert app.answer().kind == "quiesced"

    guest.box.kill(guest.box.holders())
    told = app.unasked()

    assert (told.body["released_by"], told.body["held_until_order"]) == ("agent", False)
    assert [whole for _, whole, _ in evidence(told.body, "handler")] == [False]
    assert runs(guest.box.folder, "post") == ["1"]
    guest.writes_again()


def test_the_agents_death_lets_the_database_go(guest: Guest, app: App) -> None:
    guest.agent(app)
    guest.quiesce(app, "drained", freeze_budget_ms=300_000, **hooks(guest.box.folder))
    assert app.answer().kind == "quiesced"

    guest.box.kill(guest.box.agents())
    guest.writes_again()
    until(lambda: runs(guest.box.folder, "post") == ["1"], "the post-script")
    guest.agent(app, command=app.arm())
    told = app.unasked()

    assert (told.body["released_by"], told.body["held_until_order"]) == ("dead-man", False)
    assert [whole for _, whole, _ in evidence(told.body, "handler")] == [False]


def test_a_stopped_agent_and_handler_do_not_keep_the_database(guest: Guest, app: App) -> None:
    guest.agent(app)
    guest.quiesce(app, "drained", freeze_budget_ms=12_000, quiesce_timeout_ms=11_900)
    assert app.answer().kind == "quiesced", app.acks[-1].body

    stopped = guest.box.agents() + guest.box.holders()
    guest.box.kill(stopped, signal.SIGSTOP)
    guest.writes_again()
    guest.box.kill(guest.box.agents(), signal.SIGCONT)
    told = app.unasked()

    # Its dead-man is overdue and its handler dead: it may act before it reads the dead-man's word.
    assert told.body["released_by"] in {"dead-man", "agent"}
    assert not told.body["held_until_order"]


def test_agent_dead_man_and_handler_killed_the_next_start_lets_go(guest: Guest, app: App) -> None:
    guest.agent(app)
    guest.quiesce(app, "drained", freeze_budget_ms=300_000)
    assert app.answer().kind == "quiesced"

    everybody = guest.box.dead_men() + guest.box.agents() + guest.box.holders()
    guest.box.kill(everybody, signal.SIGSTOP)
    guest.box.kill(everybody)
    until(lambda: not guest.box.agents() and not guest.box.dead_men(), "their end")
    guest.agent(app, command=app.arm())
    told = app.unasked()

    assert (told.body["released_by"], told.body["held_until_order"]) == ("restart", False)
    guest.writes_again()


def test_a_server_that_dies_while_held_is_not_called_proved(guest: Guest, app: App) -> None:
    guest.agent(app)
    guest.quiesce(app, "drained", filesystems="none")
    assert app.answer().kind == "quiesced"

    guest.server.kill()
    app.resume()
    resumed = app.answer()

    assert not resumed.body["held_until_order"]
    assert [w["code"] for w in resumed.body["warnings"]] == ["probe_failed"]


def test_a_server_that_was_started_again_while_held_is_not_called_proved(guest: Guest, app: App) -> None:
    guest.agent(app)
    guest.quiesce(app, "frozen", filesystems="none", freeze_budget_ms=60_000)
    assert app.answer().kind == "quiesced"

    guest.server.kill()
    guest.server.start()
    app.resume()

    assert not app.answer().body["held_until_order"]


def test_without_a_server_a_required_handler_fails_before_anything_is_held(guest: Guest, app: App) -> None:
    guest.server.kill()
    guest.agent(app)
    guest.quiesce(app, "", **hooks(guest.box.folder))

    failed = app.answer()

    assert failed.kind == "quiesce_failed"
    assert failed.body["reason"] in {"handler_lost", "handler_unreachable"}
    assert runs(guest.box.folder, "pre") == []
    eventually_written(guest.box, guest.disk)


def test_a_server_that_hangs_is_given_up_in_time_and_let_go(guest: Guest, app: App) -> None:
    guest.agent(app)
    app.answer()
    guest.server.stop()
    guest.quiesce(app, "drained", quiesce_timeout_ms=3_000, **hooks(guest.box.folder))

    failed = app.answer()
    guest.server.go_on()

    assert failed.kind == "quiesce_failed"
    assert failed.body["reason"] in {"handler_timed_out", "quiesce_timeout"}
    assert runs(guest.box.folder, "pre") == []
    guest.writes_again()


def test_without_a_server_an_optional_handler_is_a_warning(guest: Guest, app: App) -> None:
    guest.server.kill()
    guest.agent(app)
    app.quiesce(handlers=[{"name": guest.handler, "required": False}])

    quiesced = app.answer()
    app.resume()

    assert quiesced.kind == "quiesced"
    assert [w["code"] for w in quiesced.body["warnings"]] == ["optional_handler_failed"]
    assert [n["kind"] for n in quiesced.body["not_held"]] == ["handler"]
    assert app.answer().body["held_until_order"]


def test_what_is_there_is_found_and_mariadb_is_not_mysql_too(guest: Guest, app: App) -> None:
    section = guest.server.section()
    guest.configure(section + section.replace("[mariadb]", "[mysql]") * (guest.handler == "mariadb"))
    guest.agent(app)
    app.quiesce(handlers="auto")

    quiesced = app.answer()
    app.resume()

    assert [h["name"].partition(":")[0] for h in quiesced.body["held"] if h["kind"] == "handler"] == [
        guest.handler
    ]
    assert quiesced.body["warnings"] == []
    assert app.answer().body["held_until_order"]


def test_a_user_who_may_not_connect_is_refused_with_the_reason(guest: Guest, app: App) -> None:
    assert isinstance(guest.server, Server)
    guest.configure(guest.server.section() + "user = nobody\n")
    guest.agent(app)
    guest.quiesce(app, "")

    failed = app.answer()

    assert failed.kind == "quiesce_failed"
    assert failed.body["reason"] in {"handler_lost", "handler_denied", "handler_unreachable"}
    assert "nobody" in failed.body["detail"], failed.body
