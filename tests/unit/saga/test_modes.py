"""What handlers, modes and snapshots inside the guest are worth; less evidence is never worth more."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.saga.consistency import SHOWN, Grade, grade
from shared.saga.evidence import Evidence, Held, HeldUntil, NotHeld
from tests.unit.saga.build import MOUNTS, PRE
from tests.unit.saga.test_consistency import BREAKAGES, holding, with_quiesced, with_resumed

FROZEN = tuple(Held("filesystem", mount) for mount in MOUNTS)
POSTGRESQL = Held("handler", "postgresql:5432", "drained")
MARIADB = Held("handler", "mariadb:3306", "drained")
SERVICES = Held("handler", "services:app", "stopped")
VSS = Held("vss", "C:", "anchor")
SUBVOLUME = Held("filesystem", "/data", "anchor")


@pytest.mark.parametrize("handler", [POSTGRESQL, MARIADB, SERVICES])
def test_a_handler_that_was_shown_to_hold_every_write_needs_no_held_filesystem(handler: Held) -> None:
    verdict = grade(holding(handler))

    assert verdict.grade is Grade.APPLICATION
    assert SHOWN[handler.name.partition(":")[0], handler.mode] in verdict.reasons[0]


@pytest.mark.parametrize(
    "handler",
    [
        Held("handler", "postgresql:5432", "frozen"),
        Held("handler", "postgresql:5432"),
        Held("handler", "mongodb:27017", "drained"),
        Held("handler", "mysql:3306", "drained"),
        Held("handler", "postgresqlish", "drained"),
        Held("script", "postgresql", "drained"),
        Held("vss", "postgresql", "drained"),
    ],
)
def test_any_other_hold_is_worth_only_what_the_filesystems_are(handler: Held) -> None:
    alone, frozen = grade(holding(handler)), grade(holding(handler, *FROZEN))

    assert alone.grade is Grade.CRASH
    assert alone.unbroken, "another generation would prove no more"
    assert any(handler.name in reason for reason in alone.reasons)
    assert frozen.grade is Grade.APPLICATION


def test_one_application_that_relies_on_the_filesystems_makes_all_rely_on_them() -> None:
    for other in (Held("handler", "mysql:3306", "frozen"), Held("script", PRE)):
        assert grade(holding(POSTGRESQL, other)).grade is Grade.CRASH
        assert grade(holding(POSTGRESQL, other, *FROZEN)).grade is Grade.APPLICATION


def test_a_filesystem_that_went_on_writing_does_not_harm_what_needs_none() -> None:
    left = NotHeld("filesystem", "/srv", "not_supported")
    assert grade(with_quiesced(holding(POSTGRESQL, *FROZEN), not_held=(left,))).grade is Grade.APPLICATION


def test_a_missed_application_leaves_nothing_where_no_filesystem_is_held() -> None:
    missed = NotHeld("handler", "mysql:3306", "not_running")
    assert grade(with_quiesced(holding(POSTGRESQL), not_held=(missed,))).grade is Grade.CRASH


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ((VSS,), Grade.APPLICATION),
        ((SUBVOLUME, POSTGRESQL), Grade.APPLICATION),
        ((SUBVOLUME, Held("handler", "mysql:3306", "frozen")), Grade.APPLICATION),
        ((SUBVOLUME, Held("script", PRE)), Grade.APPLICATION),
        ((SUBVOLUME,), Grade.FILESYSTEM),
    ],
)
def test_a_snapshot_inside_the_guest_holds_the_instant(held: tuple[Held, ...], expected: Grade) -> None:
    verdict = grade(holding(*held, anchored=True))

    assert verdict.grade is expected
    assert "a snapshot inside the guest" in verdict.reasons[-1]
    assert held[0].name in verdict.reasons[-1]


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ((SUBVOLUME, POSTGRESQL), Grade.APPLICATION),
        ((SUBVOLUME, Held("script", PRE)), Grade.APPLICATION),
        ((SUBVOLUME,), Grade.CRASH),
    ],
)
def test_an_anchor_of_some_filesystems_is_worth_what_the_applications_in_it_are(
    held: tuple[Held, ...], expected: Grade
) -> None:
    outside = NotHeld("filesystem", "/", "not_anchored")
    verdict = grade(with_quiesced(holding(*held, anchored=True), not_held=(outside,)))

    assert verdict.grade is expected
    assert verdict.reasons[0] == "the filesystem / is not in the snapshot inside the guest"
    missed = (outside, NotHeld("handler", "mysql", "absent"))
    evidence = with_quiesced(holding(*held, anchored=True), not_held=missed)
    assert grade(evidence).grade is Grade.CRASH


def test_a_filesystem_outside_of_an_anchor_that_is_none_was_not_held() -> None:
    outside = NotHeld("filesystem", "/", "not_anchored")
    verdict = grade(with_quiesced(holding(*FROZEN), not_held=(outside,)))

    assert verdict.grade is Grade.CRASH
    assert verdict.reasons == ("the filesystem / was not held (not_anchored)",)


def test_what_an_anchor_stands_for_is_not_asked_about_again_but_the_anchor_is() -> None:
    evidence = holding(SUBVOLUME, POSTGRESQL, anchored=True)
    only_anchor = (HeldUntil("filesystem", "/data", held_until_order=True),)

    assert grade(with_resumed(evidence, held=only_anchor)).grade is Grade.APPLICATION
    verdict = grade(with_resumed(evidence, held=()))
    assert verdict.grade is Grade.CRASH
    assert "did not say whether the filesystem /data" in verdict.reasons[0]


def test_an_anchor_that_did_not_outlive_the_snapshots_proves_nothing() -> None:
    lost = (HeldUntil("vss", "C:", held_until_order=False, detail="the diff area overflowed"),)
    verdict = grade(with_resumed(holding(VSS, anchored=True), held=lost))

    assert verdict.grade is Grade.CRASH
    assert "the diff area overflowed" in verdict.reasons[0]


@pytest.mark.parametrize("held", [(SUBVOLUME,), (VSS,), (SUBVOLUME, POSTGRESQL, *FROZEN)])
def test_an_anchor_counts_only_where_the_guest_says_that_the_instant_lies_in_it(
    held: tuple[Held, ...],
) -> None:
    alone = tuple(item for item in held if item.mode == "anchor")
    assert grade(holding(*alone)).grade is Grade.CRASH
    without = tuple(item for item in held if item.mode != "anchor")
    assert grade(holding(*without, Held("script", PRE), anchored=True)).grade is Grade.CRASH


def test_a_guest_that_was_paused_within_the_tolerance_of_clocks_is_not_called_so() -> None:
    for jump in (0, 5_000, -5_000):
        assert grade(with_resumed(holding(*FROZEN), clock_jump_ms=jump)).grade is Grade.FILESYSTEM


def test_a_halted_application_was_not_brought_to_rest() -> None:
    halted = Held("handler", "services:app", "halted")

    alone = grade(holding(halted))
    frozen = grade(holding(halted, *FROZEN))
    beside_another = grade(holding(halted, POSTGRESQL))

    assert (alone.grade, frozen.grade) == (Grade.CRASH, Grade.FILESYSTEM)
    assert beside_another.grade is Grade.CRASH
    assert "the handler services:app was halted where it stood, not brought to rest" in frozen.reasons


# --- less evidence is never worth more --------------------------------------------------------------

NAMES = ("postgresql:5432", "mariadb:3306", "mysql:3306", "services:app", "/", "/data", PRE, "C:")
MODES = ("", "frozen", "drained", "stopped", "anchor")
HELD = st.builds(
    Held,
    st.sampled_from(("script", "handler", "filesystem", "vss")),
    st.sampled_from(NAMES),
    st.sampled_from(MODES),
)
NOT_HELD = st.builds(
    NotHeld,
    st.sampled_from(("script", "handler", "filesystem", "vss")),
    st.sampled_from(NAMES),
    st.sampled_from(("read_only", "not_supported", "not_running", "not_anchored")),
)


@st.composite
def evidences(draw: st.DrawFn) -> Evidence:
    """Evidence of any guest whose chain is whole."""
    held = tuple(draw(st.lists(HELD, min_size=1, max_size=4, unique_by=lambda item: (item.kind, item.name))))
    evidence = holding(*held, anchored=draw(st.booleans()))
    return with_quiesced(evidence, not_held=tuple(draw(st.lists(NOT_HELD, max_size=2))))


Weakening = Callable[[Evidence, int], Evidence]


def _let_go(evidence: Evidence, index: int) -> Evidence:
    """One thing was not held after all, and the guest says so."""
    assert evidence.quiesced is not None
    held = list(evidence.quiesced.held)
    lost = held.pop(index % len(held))
    not_held = (*evidence.quiesced.not_held, NotHeld(lost.kind, lost.name, "not_running"))
    return with_quiesced(evidence, held=tuple(held), not_held=not_held)


def _modeless(evidence: Evidence, index: int) -> Evidence:
    """One hold does not say how it held."""
    assert evidence.quiesced is not None
    held = list(evidence.quiesced.held)
    at = index % len(held)
    held[at] = replace(held[at], mode="frozen" if held[at].kind == "handler" else held[at].mode)
    return with_quiesced(evidence, held=tuple(held))


def _more_left(evidence: Evidence, index: int) -> Evidence:
    """One filesystem more went on writing."""
    assert evidence.quiesced is not None
    left = NotHeld("filesystem", NAMES[index], "not_supported")
    return with_quiesced(evidence, not_held=(*evidence.quiesced.not_held, left))


WEAKENINGS: dict[str, Weakening] = {
    "a thing was not held": _let_go,
    "a handler relies on the filesystems": _modeless,
    "a filesystem more was not held": _more_left,
    **{name: lambda e, _i, breakage=breakage: breakage(e) for name, (breakage, _) in BREAKAGES.items()},  # type: ignore[misc]
}


@given(
    evidence=evidences(),
    steps=st.lists(st.tuples(st.sampled_from(sorted(WEAKENINGS)), st.integers(0, 7)), min_size=1, max_size=4),
)
def test_the_grade_never_rises_when_evidence_is_taken_away(
    evidence: Evidence, steps: list[tuple[str, int]]
) -> None:
    for name, index in steps:
        before = grade(evidence).grade
        try:
            evidence = WEAKENINGS[name](evidence, index)
        except (AssertionError, IndexError, ZeroDivisionError):  # what it takes away is gone already
            continue
        assert before.at_least(grade(evidence).grade), name


@given(evidence=evidences(), name=st.sampled_from(sorted(BREAKAGES)))
def test_whatever_was_held_and_however_a_missing_link_leaves_crash(evidence: Evidence, name: str) -> None:
    breakage, _ = BREAKAGES[name]
    try:
        broken = breakage(evidence)
    except (AssertionError, IndexError):
        return
    quiesced = evidence.quiesced
    assert quiesced is not None
    if broken == evidence or (quiesced.anchored and name in EXCUSED):
        return
    assert grade(broken).grade is Grade.CRASH


#: What was held before an anchor was made is not spoken of again, and the app's clock sees nothing of it.
EXCUSED = {"one mount not spoken of", "the script not spoken of", "its clocks stood still"}
