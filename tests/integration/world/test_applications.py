"""The applications of the local guests: each holds, goes on, and says the truth about a copy of itself."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from local.guests.applications import APPLICATIONS, UnknownApplicationError, application_of
from local.guests.bank import (
    ACCOUNTS,
    OPENING_BALANCE,
    Statement,
    create_tables,
    objections,
    open_accounts,
    read_statement,
    transfer,
)
from local.world.capability import can_use_real_disks
from local.world.specs import guest_with
from tests.integration.world.conftest import ROOT, SCENARIOS

DATABASES = [name for name in APPLICATIONS if name != "ledger"]
#: In WAL mode SQLite promises no transaction over two files across a power failure, and a freeze is no more
#: than one: a commit can stand between its two files when they freeze (https://sqlite.org/lang_attach.html).
SURVIVE_A_POWER_FAILURE = [name for name in DATABASES if name != "sqlite-wal"]

type Play = Callable[[str, str], dict[str, Any]]


@pytest.fixture
def play() -> Play:
    """Lets a scenario happen with an application in the sandbox and returns its outcome."""

    def outcome(name: str, application: str) -> dict[str, Any]:
        if obstacle := application_of(application).obstacle():
            pytest.skip(obstacle)
        capability = can_use_real_disks()
        if not capability.ok:
            pytest.skip(capability.reason)
        command = [sys.executable, "-m", "local.world.sandbox", "--", sys.executable, str(SCENARIOS), name]
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "TEST_APPLICATION": application,
            "TEST_TRIES": "2",
        }
        done = subprocess.run(
            command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=170, check=False
        )
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    return outcome


@pytest.mark.world
@pytest.mark.parametrize("application", DATABASES)
def test_a_database_that_its_scripts_hold_is_whole_in_every_copy_and_goes_on(
    play: Play, application: str
) -> None:
    outcome = play("held", application)

    assert [verdict["reason"] for verdict in outcome["verdicts"] if not verdict["whole"]] == []
    assert set(outcome["script_exit_codes"]) == {0}
    transfers = [verdict["transfers"] for verdict in outcome["verdicts"]]
    assert transfers[0] < transfers[1]


@pytest.mark.world
@pytest.mark.parametrize("application", SURVIVE_A_POWER_FAILURE)
def test_a_database_on_frozen_filesystems_is_whole_in_every_copy(play: Play, application: str) -> None:
    outcome = play("frozen_together", application)

    assert [verdict["reason"] for verdict in outcome["verdicts"] if not verdict["whole"]] == []


@pytest.mark.world
@pytest.mark.parametrize("application", ["sqlite", "sqlite-wal", "mariadb"])
def test_a_database_that_nobody_holds_is_broken_in_some_copy(play: Play, application: str) -> None:
    outcome = play("unheld", application)

    assert not all(verdict["whole"] for verdict in outcome["verdicts"])


@pytest.mark.world
@pytest.mark.parametrize("application", ["postgresql", "mariadb"])
def test_no_process_of_a_database_server_outlives_its_guest(play: Play, application: str) -> None:
    assert play("stopping_a_killed_application", application) == {"before": True, "after": []}


def test_an_application_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(UnknownApplicationError) as refused:
        application_of("oracle")

    assert "oracle" in str(refused.value)
    assert refused.value.known == tuple(APPLICATIONS)


def test_every_data_disk_has_a_role(tmp_path: Any) -> None:
    for name, application in APPLICATIONS.items():
        spec = guest_with(name, "vm1", tmp_path)
        assert len(spec.disks) == len(application.roles) + 1


def whole_bank(transfers: int = 6) -> Statement:
    """Give the statement of a bank with two clients after some transfers, made by SQLite in memory."""
    bank = sqlite3.connect(":memory:")
    for statement in (*create_tables(), *open_accounts()):
        bank.execute(statement)
    for number in range(1, transfers + 1):
        for client in (0, 1):
            for statement in transfer(client, number, 7 * number, 5 * client, 10 * number):
                bank.execute(statement)
    return read_statement(lambda query: bank.execute(query).fetchall())


def test_a_whole_bank_meets_no_objection() -> None:
    statement = whole_bank()

    assert statement.transfers == 12
    assert objections(statement, {0: 6, 1: 6}) == []


def test_a_balance_without_its_transfer_is_seen_though_the_total_is_right() -> None:
    whole = whole_bank()
    balances = {**whole.balances, ("checking", 100): 995, ("savings", 100): 1005}

    assert objections(Statement(balances, whole.moved, whole.clients), {}) == [
        "1 balances of checking do not follow from the ledger",
        "1 balances of savings do not follow from the ledger",
    ]


def test_lost_transfers_lost_accounts_and_a_wrong_total_are_seen() -> None:
    whole = whole_bank()
    balances = {where: balance for where, balance in whole.balances.items() if where != ("savings", 9)}
    clients = {0: (5, 6), 1: (6, 6)}

    found = objections(Statement(balances, whole.moved, clients), {1: 8, 2: 1})

    total = 2 * ACCOUNTS * OPENING_BALANCE
    assert found == [
        f"savings has {ACCOUNTS - 1} accounts instead of {ACCOUNTS}",
        f"the total is {total - OPENING_BALANCE} instead of {total}",
        "client 0 has 5 transfers, the last has number 6",
        "transfer 8 of client 1 was acknowledged, its last is 6",
        "transfer 1 of client 2 was acknowledged, its last is 0",
    ]


@pytest.mark.world
@pytest.mark.parametrize("application", ["ledger", "mariadb"])
def test_the_clients_of_an_application_rest_and_go_on(play: Play, application: str) -> None:
    outcome = play("a_pause_of_the_clients", application)

    assert outcome["paused"] == outcome["later"]
    assert outcome["gone_on"] > outcome["later"]
