"""What many tries show: shares with honest intervals, and what must not have happened."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.guests.applications import APPLICATIONS
from local.prove import report
from local.prove.__main__ import main
from local.prove.judging import failures, rows, wilson
from local.prove.modes import GRADES, Mode, modes_of
from local.prove.proving import plans
from local.prove.tries import Try

HELD = Mode("held", "filesystem", lambda _stack, _vm: {})
OFF = Mode("off", "crash", lambda _stack, _vm: {}, guest_processing=False)
MODES = (HELD, OFF)

GOOD = Try(
    application="ledger",
    mode="held",
    guest_processing=True,
    grade="filesystem",
    restored_ok=True,
    reason="replayed",
    freeze_window_ms=700,
)
UNHELD = replace(GOOD, mode="off", guest_processing=False, grade="crash", freeze_window_ms=None)
BROKEN = replace(UNHELD, restored_ok=False, reason="transfer 17 is missing in /dev/shm/x/journal")


@pytest.mark.parametrize(
    ("hits", "tries", "low", "high"),
    [(0, 25, 0, 13), (25, 25, 87, 100), (17, 25, 48, 83), (3, 25, 4, 30), (1, 20, 1, 24)],
)
def test_the_interval_is_wilsons(hits: int, tries: int, low: int, high: int) -> None:
    found = wilson(hits, tries)

    assert (round(100 * found[0]), round(100 * found[1])) == (low, high)


@given(st.integers(0, 500).flatmap(lambda tries: st.tuples(st.integers(0, tries), st.just(tries))))
def test_the_interval_contains_the_share_and_never_claims_never(counts: tuple[int, int]) -> None:
    hits, tries = counts
    low, high = wilson(hits, tries)

    assert 0 <= low <= (hits / tries if tries else 0) <= high <= 1
    assert high > 0
    assert low < 1


def test_tries_are_counted_by_application_and_mode() -> None:
    other = replace(BROKEN, reason="transfer 4 is missing in /dev/shm/y/journal")
    none = replace(BROKEN, grade=None, reason="no recovery point: it timed out")

    held, off = rows([GOOD, BROKEN, replace(GOOD, freeze_window_ms=900), other, none, UNHELD])

    assert (held.tries, held.broken, held.median_window_ms, held.share) == (2, 0, 800, "0 % (0-66)")
    assert (off.tries, off.broken, off.missing, off.share) == (4, 2, 1, "67 % (21-94)")
    assert off.reasons == {"transfer N is missing in .../journal": 2, "no recovery point: it timed out": 1}
    assert off.median_window_ms is None


def test_a_copy_that_nobody_held_may_break() -> None:
    assert list(failures([GOOD, BROKEN, UNHELD], MODES)) == []


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (replace(GOOD, restored_ok=False, reason="torn"), "ledger, held: torn"),
        (replace(GOOD, restored_ok=False, grade=None, reason="no point"), "ledger, held: no point"),
        (
            replace(GOOD, grade="application"),
            "ledger, held: graded application, but it can prove filesystem at most",
        ),
    ],
)
def test_a_held_copy_that_is_broken_missing_or_graded_too_high_is_a_failure(bad: Try, says: str) -> None:
    assert list(failures([GOOD, bad], MODES)) == [says]


def test_a_broken_copy_that_is_called_consistent_is_a_failure() -> None:
    found = list(failures([replace(BROKEN, grade="filesystem")], MODES))

    assert found == [
        f"ledger, off: graded filesystem, but broken: {BROKEN.reason}",
        "ledger, off: graded filesystem, but it can prove crash at most",
    ]


def test_every_application_is_tried_without_guest_processing_and_in_modes_of_known_worth() -> None:
    for plan in plans(list(APPLICATIONS.values()), tries=3):
        assert [mode.name for mode in plan.modes if not mode.guest_processing] == ["off"]
        assert len({mode.name for mode in plan.modes}) == len(plan.modes)
        assert {mode.proves for mode in plan.modes} <= set(GRADES)
        assert any(mode.proves == "application" for mode in plan.modes)


def test_only_the_named_modes_are_tried() -> None:
    ledger = APPLICATIONS["ledger"]

    [plan] = plans([ledger], tries=3, modes=["off"])

    assert plan.modes == (modes_of(ledger)[0],)


def test_the_report_has_every_try_and_says_what_was_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "ROOT", tmp_path)
    monkeypatch.setattr(report, "PATH", tmp_path / ".prove" / "report.json")

    report.write_report([GOOD, BROKEN], {"mariadb": "not installed"})

    written = json.loads(report.PATH.read_text())
    assert written["left_out"] == {"mariadb": "not installed"}
    assert written["tries"][1] == {
        "application": "ledger",
        "mode": "off",
        "guest_processing": False,
        "grade": "crash",
        "restored_ok": False,
        "reason": BROKEN.reason,
        "freeze_window_ms": None,
    }


@pytest.mark.parametrize("arguments", [["--tries", "0"], ["--tries", "many"], ["--nonsense"]])
def test_wrong_arguments_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(arguments)

    assert refused.value.code == 2
    assert "error" in capsys.readouterr().err
