"""The host's rules that need no host: pure functions and settings."""

import itertools
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from local.functions_host.backoff import PollBackoff, RenewalPace
from local.functions_host.functions import Function, HttpTrigger
from local.functions_host.message_processor import poison_queue_name
from local.functions_host.ncrontab import Schedule, ScheduleError
from local.functions_host.outputs import message_bodies
from local.functions_host.protos import TypedData
from local.functions_host.queues import MessageEncoding, UndecodableMessageError
from local.functions_host.routes import MethodNotAllowedError, NoSuchRouteError, RouteError, RouteTable
from local.functions_host.settings import (
    ConnectionUnusableError,
    HostSettings,
    SettingsError,
    load_settings,
    parse_time_span,
)
from local.functions_host.timer_status import TimerStatus, TimerStatusStore, is_monitored, status_at_start

NOW = datetime(2026, 3, 10, 12, 0, 30, tzinfo=UTC)  # a Tuesday


def test_polling_backs_off_from_the_minimum_after_work_to_the_maximum() -> None:
    backoff = PollBackoff(maximum_s=2.0, uniform=lambda _low, _high: 1.0)

    delays = [backoff.next_delay(found_messages=first) for first in (True, *[False] * 7)]

    assert delays == pytest.approx([0.1, 0.2, 0.3, 0.5, 0.9, 1.7, 2.0, 2.0])
    assert backoff.next_delay(found_messages=True) == 0.1


def test_polling_with_the_smallest_maximum_is_constant() -> None:
    backoff = PollBackoff(maximum_s=0.1, uniform=lambda low, _high: low)

    assert {backoff.next_delay(found_messages=False) for _ in range(5)} == {0.1}
    with pytest.raises(ValueError, match="shorter"):
        PollBackoff(maximum_s=0.05, uniform=lambda low, _high: low)


def test_failed_renewals_are_repeated_sooner_down_to_a_minute() -> None:
    pace = RenewalPace(normal_s=300)
    seen = []
    for _ in range(4):
        seen.append(pace.interval_s)
        pace.failed()

    assert seen == [300, 150, 75, 60]
    pace.succeeded()
    assert pace.interval_s == 300


@pytest.mark.parametrize(
    ("expression", "following"),
    [
        ("* * * * * *", "2026-03-10T12:00:31"),
        ("0 * * * * *", "2026-03-10T12:01:00"),
        ("*/5 * * * *", "2026-03-10T12:05:00"),
        ("30 0 12 * * *", "2026-03-11T12:00:30"),
        ("0 30 9-17/2 * * Mon-Fri", "2026-03-10T13:30:00"),
        ("0 0 0 * * SUN", "2026-03-15T00:00:00"),
        ("0 0 0 29 2 *", "2028-02-29T00:00:00"),
        ("0 0 0 13 * friday", "2026-03-13T00:00:00"),
        ("0 15,45 10/6 1 Jan,Jul *", "2026-07-01T10:15:00"),
        ("59 59 23 31 December *", "2026-12-31T23:59:59"),
    ],
)
def test_the_next_occurrence_of_an_expression(expression: str, following: str) -> None:
    assert Schedule.parse(expression).next_after(NOW) == datetime.fromisoformat(following).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "* * * *",
        "* * * * * * *",
        "60 * * * * *",
        "* * 24 * * *",
        "* * * 0 * *",
        "* * * * 13 *",
        "* * * * * 7",
        "*/0 * * * * *",
        "5-1 * * * * *",
        "* * * * Ju *",
        "a * * * * *",
        "1, * * * * *",
        "0 0 0 31 2 *",
        "00:05:00",
    ],
)
def test_expressions_that_are_none_are_refused(expression: str) -> None:
    with pytest.raises(ScheduleError) as refused:
        Schedule.parse(expression)
    assert refused.value.expression == expression


def test_occurrences_are_wall_clock_times_of_the_zone() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    daily = Schedule.parse("0 30 2 * * *", berlin)

    def after(text: str) -> str:
        return daily.next_after(datetime.fromisoformat(text)).astimezone(UTC).isoformat()

    assert after("2026-03-27T12:00:00+01:00") == "2026-03-28T01:30:00+00:00"
    assert after("2026-03-29T00:00:00+01:00") == "2026-03-29T01:30:00+00:00"  # 02:30 does not exist that day
    assert after("2026-10-25T00:00:00+02:00") == "2026-10-25T00:30:00+00:00"  # the first of two
    assert after("2026-10-25T02:30:00+02:00") == "2026-10-26T01:30:00+00:00"  # and not again


def test_a_schedule_of_every_minute_goes_on_through_a_repeated_hour() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    every_minute = Schedule.parse("0 * * * * *", berlin)
    moment = datetime(2026, 10, 25, 2, 58, tzinfo=berlin)

    times = [moment]
    for _ in range(130):
        times.append(every_minute.next_after(times[-1]))

    gaps = {later.astimezone(UTC) - sooner.astimezone(UTC) for sooner, later in itertools.pairwise(times)}
    assert gaps == {timedelta(minutes=1)}


def test_a_changed_schedule_is_not_caught_up_with() -> None:
    hourly, quarterly = Schedule.parse("0 0 * * * *"), Schedule.parse("0 */15 * * * *")
    recorded = TimerStatus(NOW - timedelta(hours=3), hourly.next_after(NOW - timedelta(hours=3)), NOW)

    assert status_at_start(recorded, hourly, NOW) == recorded
    changed = status_at_start(recorded, quarterly, NOW)
    assert changed.next == quarterly.next_after(NOW)
    assert changed.last is None
    assert status_at_start(None, hourly, NOW) == TimerStatus(None, hourly.next_after(NOW), NOW)


def test_a_timer_status_survives_being_saved_and_a_broken_one_counts_as_none(tmp_path: Path) -> None:
    store = TimerStatusStore(tmp_path / "timers")
    assert store.load("tick") is None
    status = TimerStatus(None, NOW, NOW)

    store.save("tick", status)

    assert store.load("tick") == status
    for broken in ("", "[]", '{"Last": "x"}', json.dumps(status.to_json() | {"Next": "2026-01-01T00:00:00"})):
        (tmp_path / "timers" / "tick.json").write_text(broken)
        assert store.load("tick") is None


def test_schedules_of_less_than_a_minute_are_never_monitored() -> None:
    assert not is_monitored(Schedule.parse("*/30 * * * * *"), NOW, use_monitor=True)
    assert is_monitored(Schedule.parse("0 * * * * *"), NOW, use_monitor=True)
    assert not is_monitored(Schedule.parse("0 * * * * *"), NOW, use_monitor=False)


def test_poison_queues_have_no_poison_queues_and_names_stay_legal() -> None:
    assert poison_queue_name("saga-steps") == "saga-steps-poison"
    assert poison_queue_name("saga-steps-poison") is None
    assert poison_queue_name("x" * 56) == "x" * 56 + "-poison"
    assert poison_queue_name("x" * 57) is None


def test_message_encodings_decode_what_they_encode_and_refuse_what_is_none() -> None:
    base64, none = MessageEncoding(base64=True), MessageEncoding(base64=False)

    assert base64.encode(b"\xff") == "/w=="
    assert base64.decode("/w =\r\n=") == b"\xff"
    assert none.decode(none.encode("ä".encode())) == "ä".encode()
    for text in ("plain", "_w==", "/w"):
        with pytest.raises(UndecodableMessageError):
            base64.decode(text)


def test_an_output_left_unset_sends_nothing_and_an_empty_text_sends_an_empty_message() -> None:
    assert message_bodies("out", None) == []
    assert message_bodies("out", TypedData()) == []
    assert message_bodies("out", TypedData(string="")) == [b""]
    assert message_bodies("out", TypedData(json="[]")) == []


def _route_table(*routes: tuple[str, str, tuple[str, ...]]) -> RouteTable:
    return RouteTable(
        [
            Function(name, name, HttpTrigger("req", route, methods, "anonymous"), (), "$return")
            for name, route, methods in routes
        ]
    )


@pytest.mark.parametrize(
    ("path", "function", "parameters"),
    [
        ("runs", "list", {}),
        ("runs/", "list", {}),
        ("RUNS/7", "by_number", {"number": "7"}),
        ("runs/abc", "by_name", {"name": "abc"}),
        ("runs/abc/vms/v1", "vm", {"name": "abc", "vm": "v1"}),
        ("files", "files", {}),
        ("files/a/b.txt", "files", {"rest": "a/b.txt"}),
        ("page", "page", {"size": "10"}),
        ("page/20", "page", {"size": "20"}),
        ("maybe", "maybe", {}),
        ("maybe/x", "maybe", {"it": "x"}),
        ("report.pdf", "report", {"kind": "pdf"}),
    ],
)
def test_a_path_finds_the_most_special_route(path: str, function: str, parameters: Mapping[str, str]) -> None:
    table = _route_table(
        ("by_name", "runs/{name}", ()),
        ("files", "files/{*rest}", ()),
        ("list", "runs", ()),
        ("by_number", "runs/{number:int}", ()),
        ("vm", "runs/{name}/vms/{vm}", ()),
        ("page", "page/{size=10}", ()),
        ("maybe", "maybe/{it?}", ()),
        ("report", "report.{kind}", ()),
    )

    found, _, given = table.find("GET", path)

    assert (found.name, given) == (function, parameters)


def test_a_route_table_says_which_methods_a_path_has() -> None:
    table = _route_table(("get", "a", ("GET",)), ("post", "a", ("POST",)))

    assert table.find("post", "a")[0].name == "post"
    with pytest.raises(MethodNotAllowedError) as refused:
        table.find("PUT", "a")
    assert list(refused.value.allowed) == ["GET", "POST"]
    with pytest.raises(NoSuchRouteError):
        table.find("GET", "b")
    for template in ("a/{b", "a/{b:regex}", "{a b}"):
        with pytest.raises(RouteError):
            _route_table(("bad", template, ()))


def _settings(
    folder: Path, host: object = None, local: object = None, environ: Mapping[str, str] | None = None
) -> HostSettings:
    (folder / "host.json").write_text(json.dumps(host or {"version": "2.0"}))
    if local is not None:
        (folder / "local.settings.json").write_text(json.dumps(local))
    return load_settings(folder, environ or {})


def test_the_real_environment_wins_over_local_settings_and_overrides_host_json(tmp_path: Path) -> None:
    host = {"extensions": {"queues": {"batchSize": 8, "visibilityTimeout": "00:00:05"}}}
    local = {"Values": {"A": "local", "B": "local"}}
    environ = {"A": "real", "AzureFunctionsJobHost__Extensions__Queues__BatchSize": "2"}

    settings = _settings(tmp_path, host, local, environ)

    assert settings.resolve("%A%-%B%") == "real-local"
    assert (settings.queues.batch_size, settings.queues.visibility_timeout_s) == (2, 5.0)
    with pytest.raises(SettingsError, match="'C' is not set"):
        settings.resolve("%C%")


def test_defaults_are_the_real_hosts(tmp_path: Path) -> None:
    queues = _settings(tmp_path).queues
    elsewhere = _settings(tmp_path, environ={"AZURE_FUNCTIONS_ENVIRONMENT": "Production"}).queues

    assert (queues.batch_size, queues.max_dequeue_count, queues.visibility_timeout_s) == (16, 5, 0.0)
    assert (queues.dequeue_invisibility_s, queues.base64) == (600.0, True)
    assert (queues.max_polling_interval_s, elsewhere.max_polling_interval_s) == (2.0, 60.0)


@pytest.mark.parametrize(
    "queues",
    [
        {"batchSize": 33},
        {"batchSize": 0},
        {"batchSize": "many"},
        {"maxPollingInterval": "00:00:00.050"},
        {"maxPollingInterval": "soon"},
        {"messageEncoding": "utf7"},
        {"maxDequeueCount": 0},
        [],
    ],
)
def test_a_host_json_that_cannot_be_honoured_is_refused(tmp_path: Path, queues: object) -> None:
    with pytest.raises(SettingsError, match=r"^host\.json"):
        _settings(tmp_path, {"extensions": {"queues": queues}} if queues else {"extensions": []})


def test_connections_are_found_by_both_names_and_must_be_plain(tmp_path: Path) -> None:
    plain = "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=b;EndpointSuffix=core.windows.net"
    settings = _settings(
        tmp_path,
        environ={
            "AzureWebJobsGuests": plain,
            "Emulator": "UseDevelopmentStorage=true",
            "Managed__queueServiceUri": "https://a.queue.core.windows.net",
            "Odd": "something",
        },
    )

    assert settings.connection_string("Guests") == plain
    assert "QueueEndpoint=http://127.0.0.1:10001/devstoreaccount1" in settings.connection_string("Emulator")
    for name, reason in (("Managed", "identity"), ("Odd", "no|not a storage"), ("Missing", "not set")):
        with pytest.raises(ConnectionUnusableError, match=reason):
            settings.connection_string(name)


def test_time_spans_are_read_as_dot_net_writes_them() -> None:
    assert parse_time_span("00:00:00.500") == 0.5
    assert parse_time_span("1.02:03:04") == 93784.0
    for text in ("", "5", "00:05", "1:2:3:4"):
        with pytest.raises(ValueError, match="time span"):
            parse_time_span(text)
