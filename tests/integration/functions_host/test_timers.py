import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.integration.functions_host.conftest import StartHost, eventually

pytestmark = pytest.mark.azurite


def _recorded(last: datetime, following: datetime) -> dict[str, str]:
    return {"Last": last.isoformat(), "Next": following.isoformat(), "LastUpdated": last.isoformat()}


def _status_file(folder: Path) -> Path:
    return folder / ".local" / "timers" / "tick.json"


def test_a_timer_that_missed_many_occurrences_runs_once_as_past_due(start_host: StartHost) -> None:
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)

    def missed_five_hours(folder: Path) -> None:
        path = _status_file(folder)
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(_recorded(hour - timedelta(hours=6), hour - timedelta(hours=5))))

    host = start_host("tick", prepare=missed_five_hours)

    [fired] = eventually(lambda: host.notes("tick", "fired"))
    assert fired["past_due"] is True
    assert fired["status"]["Next"] == (hour - timedelta(hours=5)).isoformat()
    assert host.end() == 0
    after = json.loads(_status_file(host.folder).read_text())
    assert datetime.fromisoformat(after["Next"]) == hour + timedelta(hours=1)

    again = start_host("tick", "startup", like=host)
    eventually(lambda: again.notes("startup", "fired"))
    assert again.end() == 0
    assert len(again.notes("tick", "fired")) == 1


def test_a_new_timer_records_when_it_is_due_and_does_not_run_at_once(start_host: StartHost) -> None:
    host = start_host("tick", "startup")

    eventually(lambda: host.notes("startup", "fired"))
    due = datetime.fromisoformat(json.loads(_status_file(host.folder).read_text())["Next"])
    assert due > datetime.now(UTC)
    assert host.notes("tick", "fired") == []


def test_run_on_startup_runs_once_unmonitored_and_not_past_due(start_host: StartHost) -> None:
    host = start_host("startup")

    [fired] = eventually(lambda: host.notes("startup", "fired"))
    assert (fired["past_due"], fired["status"]) == (False, {})


def test_a_timer_of_every_second_goes_on_firing_without_a_status(start_host: StartHost) -> None:
    host = start_host("tick", settings={"TICK": "* * * * * *"})

    eventually(lambda: len(host.notes("tick", "fired")) >= 3)
    assert not _status_file(host.folder).exists()
    assert host.end() == 0


def test_functions_are_invoked_by_hand_over_the_admin_endpoint(start_host: StartHost) -> None:
    host = start_host("tick", "echo", "hello")

    assert host.call("POST", "/admin/functions/tick", b'{"input": ""}').status == 202
    assert host.call("POST", "/admin/functions/Echo", b'{"input": "by hand"}').status == 202
    assert host.call("POST", "/admin/functions/unknown", b"{}").status == 404
    assert host.call("POST", "/admin/functions/hello", b"{}").status == 400
    assert host.call("POST", "/admin/functions/tick", b"[]").status == 400

    [fired] = eventually(lambda: host.notes("tick", "fired"))
    assert fired["past_due"] is False
    [seen] = eventually(lambda: host.notes("echo", "seen"))
    assert (seen["body"], seen["dequeue_count"]) == ("by hand", 0)


def test_a_schedule_that_cannot_be_read_stops_the_start(start_host: StartHost) -> None:
    host = start_host("tick", settings={"TICK": "every day"}, wait=False)

    assert host.process.wait(30) == 1
    assert "schedule 'every day': expected 5 or 6 fields, got 2" in host.log
