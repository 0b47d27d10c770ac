"""A run that is watched: what is said meanwhile, what in the end, and how it ends."""

import itertools
import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from rich.console import Console

from cli import watching
from cli.client import Client
from cli.config import Config, Output
from cli.errors import Code
from cli.shown import Show
from shared.saga.state import Phase
from tests.unit.cli.api_double import URL, Api, entry, ok, problem, run_view

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def nobody_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setattr(watching.Watch.__init__, "__kwdefaults__", {
        "timeout_s": None, "clock": itertools.count().__next__, "sleep": lambda _: None,
    })  # fmt: skip


def api_of(*views: Any) -> Api:
    api = Api().on("POST", "/runs", ok({"run": "r1", "href": "/api/runs/r1"}, 202))
    return api.on("GET", "/runs/r1", *(ok(view) if isinstance(view, dict) else view for view in views))


def test_the_phases_are_those_of_a_saga() -> None:
    assert list(watching.PHASES) == list(Phase)


WELL = (
    run_view(entry("db-1", "arming"), entry("web-1", "capturing")),
    run_view(entry("db-1", "capturing"), entry("web-1")),
    run_view(entry("db-1"), entry("web-1")),
)


def test_a_run_whose_vms_are_still_being_selected_is_waited_for(capsys: Capture) -> None:
    selecting = run_view() | {"state": "selecting"}

    assert api_of(selecting, *WELL).run("run", "start", "--policy", "nightly", "--watch") == Code.WELL
    assert "db-1" in capsys.readouterr().out


def test_a_run_that_goes_well_ends_with_0_and_its_steps_go_to_standard_error(capsys: Capture) -> None:
    assert api_of(*WELL).run("run", "start", "--policy", "nightly", "--watch") == Code.WELL
    captured = capsys.readouterr()
    assert "db-1: arming -> capturing" in captured.err
    assert "db-1: succeeded, application, held 812 ms" in captured.err
    assert [line.split() for line in captured.out.splitlines() if line.startswith("db-1")] == [
        ["db-1", "succeeded", "application", "812", "ms", "-", "done"]
    ]


def test_a_rehearsal_is_watched_unless_one_says_no_and_shows_what_was_left_for_snapshots(
    capsys: Capture,
) -> None:
    held = {"best_grade": "application", "quiesce_ms": 40, "held_ms": 812, "left_for_snapshots_ms": 9000}
    api = Api().on("POST", "/rehearsals", ok({"run": "r1", "href": "/api/rehearsals/r1"}, 202))
    api.on("GET", "/rehearsals/r1", ok(run_view(entry("db-1", outcome="rehearsed", rehearsal=held))))

    assert api.run("rehearse", "--policy", "nightly") == Code.WELL
    captured = capsys.readouterr()
    assert "rehearsal r1 is started; Ctrl-C leaves it going" in captured.err
    assert "left" in captured.out
    assert [request.url.path for request in api.asked] == ["/api/rehearsals", "/api/rehearsals/r1"]


PROBLEM = {"sentence": "The pre-script failed.", "step": "quiescing"}


@pytest.mark.parametrize(
    ("vms", "strict", "code"),
    [
        ([entry("db-1", outcome="failed", problem=PROBLEM), entry("web-1")], [], Code.FAILED),
        ([entry("db-1", outcome="cancelled"), entry("web-1")], [], Code.FAILED),
        ([entry("db-1", outcome="degraded"), entry("web-1")], [], Code.WARNED),
        ([entry("db-1", warnings=1), entry("web-1")], [], Code.WELL),
        ([entry("db-1", warnings=1), entry("web-1")], ["--strict"], Code.WARNED),
    ],
)
def test_a_run_ends_by_the_worst_of_its_vms_and_says_what_to_do(
    vms: list[dict[str, Any]], strict: list[str], code: Code, capsys: Capture
) -> None:
    api = api_of(run_view(*vms))
    whole = {"problem": PROBLEM | {"what_to_do": "Look at its log.", "code": "script_failed"}}
    api.on("GET", "/runs/r1/vms/saga-db-1", ok(whole))
    assert api.run("run", "watch", "r1", *strict) == code
    out = capsys.readouterr().out
    if code == Code.FAILED and vms[0]["problem"]:
        assert out.index("The pre-script failed.") < out.index("Look at its log.")
        assert "script_failed" in out


def test_a_group_that_shares_no_instant_is_said_and_is_a_warning(capsys: Capture) -> None:
    for shared, code in ((True, Code.WELL), (None, Code.WELL), (False, Code.WARNED)):
        group = {"group": "shop", "state": "proved", "one_instant": shared, "sentence": "It came to this."}
        view = run_view(entry("db-1"), entry("web-1"), groups=[group])
        assert api_of(view).run("run", "watch", "r1") == code
        assert "group shop: It came to this." in capsys.readouterr().out


def test_a_run_without_a_vm_that_ended_well_is_not_well() -> None:
    assert api_of(run_view(entry("db-1", outcome=None))).run("run", "watch", "r1") == Code.FAILED


def test_the_api_may_be_away_for_a_while(capsys: Capture) -> None:
    api = api_of(WELL[0], httpx.ConnectError("x"), problem(503, "patience"), httpx.ConnectError("x"), WELL[2])
    assert api.run("run", "watch", "r1") == Code.WELL


def test_if_it_is_away_for_long_watching_ends_with_5() -> None:
    api = api_of(WELL[0], httpx.ConnectError("refused"))
    assert api.run("run", "watch", "r1") == Code.UNREACHABLE


def test_a_time_limit_ends_with_5_and_the_run_goes_on(capsys: Capture) -> None:
    assert api_of(WELL[0]).run("run", "watch", "r1", "--timeout", "10") == Code.UNREACHABLE
    assert "stillframe run cancel" in capsys.readouterr().err


def test_ctrl_c_leaves_the_run_going_and_says_how_to_cancel_it(capsys: Capture) -> None:
    def interrupted(_: httpx.Request) -> httpx.Response:
        raise KeyboardInterrupt

    api = api_of(WELL[0], interrupted)
    assert api.run("run", "start", "--policy", "nightly", "-w") == Code.INTERRUPTED
    assert "stillframe run cancel r1" in capsys.readouterr().err
    assert [request.method for request in api.asked].count("POST") == 1


def test_json_is_the_last_view_and_nothing_else_on_standard_output(capsys: Capture) -> None:
    assert api_of(*WELL).run("run", "watch", "r1", "-o", "json") == Code.WELL
    assert json.loads(capsys.readouterr().out) == WELL[2]


def test_on_a_terminal_of_80_columns_who_is_held_is_shown_first_and_for_how_long() -> None:
    config = Config(url=URL, output=Output.TABLE)
    vms = [entry(f"vm-{number:02}") for number in range(40)]
    first = [*vms, entry("a-very-long-name-of-a-machine-in-azure", "capturing"), entry("z-1", "completing")]
    api = Api().on("GET", "/runs/r1", ok(run_view(*first)), ok(run_view(*first)), ok(run_view(*vms)))
    api.on("GET", "/runs/r1/vms/saga-z-1", ok({"freeze_window_ms": 431}))
    show = Show(Output.TABLE)
    show.notes = Console(
        stderr=False, force_terminal=True, width=80, height=24, record=True, color_system=None
    )
    pictures: list[str] = []
    with Client(config, transport=httpx.MockTransport(api)) as client:
        watch = watching.Watch(client, show, "/runs/r1")
        for _ in range(2):
            run = client.get("/runs/r1").body
            with show.notes.capture() as captured:
                show.notes.print(watch._picture(run, next(itertools.count(5))))
            pictures.append(captured.get())
            watch._ask_for_windows(run)
    lines = pictures[1].splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert len(lines) <= 24
    assert lines[0].startswith("run r1  40 of 42 ended  nightly  1 held")
    assert lines[2].startswith("a-very-long-name-of-a…")
    assert "capturing" in lines[2]
    assert "~0.0 s" in lines[2]
    assert "431 ms" in lines[3]
    assert "and 24 more" in lines[-1]


def test_a_guests_words_are_never_taken_for_markup(capsys: Capture) -> None:
    told = entry(
        "db-1", outcome="failed", problem={"sentence": "[bold]x[/bold] [/nothing]", "step": "arming"}
    )
    api = api_of(run_view(told)).on("GET", "/runs/r1/vms/saga-db-1", ok({"problem": None}))
    assert api.run("run", "show", "r1") == Code.WELL
    assert "[bold]x[/bold] [/nothing]" in capsys.readouterr().out


@pytest.fixture
def terminal() -> Iterator[None]:
    """Have Ctrl-C as a terminal has it: test runners may ignore it in their workers."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_while_a_request_is_under_way_waits_for_its_answer_and_a_second_one_for_nothing(
    times: int, capsys: Capture
) -> None:
    answered = []

    def pressed(_: httpx.Request) -> httpx.Response:
        for _number in range(times):
            os.kill(os.getpid(), signal.SIGINT)
        answered.append(True)
        return ok(WELL[0])

    assert api_of(pressed).run("run", "watch", "r1") == Code.INTERRUPTED
    assert answered == [True] * (times == 1)
    assert "stillframe run cancel r1" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures("terminal")
def test_where_ctrl_c_is_ignored_it_stays_so() -> None:
    def pressed(_: httpx.Request) -> httpx.Response:
        os.kill(os.getpid(), signal.SIGINT)
        return ok(WELL[2])

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert api_of(pressed).run("run", "watch", "r1") == Code.WELL
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
