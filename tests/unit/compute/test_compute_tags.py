from shared.compute import tags


def test_a_new_snapshot_says_whose_it_is() -> None:
    assert tags.at_birth(policy="nightly", run="r1", saga="s1", generation=2) == {
        "stillframe-policy": "nightly",
        "stillframe-run": "r1",
        "stillframe-saga": "s1",
        "stillframe-generation": "2",
    }


def test_a_kept_snapshot_says_how_consistent_it_is() -> None:
    assert tags.when_graded(
        grade="application", freeze_window_ms=812, evidence="ab" * 32, warnings=2, left_out=["os", "3"]
    ) == {
        "stillframe-grade": "application",
        "stillframe-freeze-window-ms": "812",
        "stillframe-evidence": "ab" * 32,
        "stillframe-warnings": "2",
        "stillframe-left-out": "os,3",
    }


def test_without_a_freeze_the_window_is_empty() -> None:
    crash = tags.when_graded(grade="crash", freeze_window_ms=None, evidence="", warnings=0, left_out=())

    assert crash["stillframe-freeze-window-ms"] == ""
