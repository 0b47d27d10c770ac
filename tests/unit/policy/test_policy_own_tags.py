"""A VM's own tags: which count, what they change, what they never can, and that none is silent."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from shared.policy.combinations import RULES, SYSTEMS
from shared.policy.documents import Policy, read_policy
from shared.policy.group_settings import rules_of_members
from shared.policy.guest_processing import (
    Anchor,
    AnchorProvider,
    ApplicationAware,
    Filesystems,
    GuestProcessing,
    OnGuestFailure,
    Script,
)
from shared.policy.layers import Changes, Layer, for_vm, resolve
from shared.policy.own_tags import OWN_TAGS, USUAL_PRIORITY, Settled, priority_of, settle
from shared.saga.group import GroupRules
from tests.unit.engine.fake_compute import vm_id

VM = vm_id("db-1")
G = "guest_processing"


def policy(guest: dict[str, Any], allowed: list[str], schedule: dict[str, Any] | None = None) -> Policy:
    document: dict[str, Any] = {"vms": [VM], G: guest, "allow_tags": allowed}
    if "priority" in allowed:
        document["concurrency"] = {"order": "priority"}
    if schedule is not None:
        document["schedule"] = {"cron": "0 0 * * *", G: schedule}
    return read_policy(document)


def settled(
    tags: dict[str, str],
    guest: dict[str, Any] | None = None,
    *,
    allowed: list[str] | None = None,
    schedule: dict[str, Any] | None = None,
) -> Settled:
    made = policy(guest or {}, list(OWN_TAGS) if allowed is None else allowed, schedule)
    over = made.schedules[0].layers if made.schedules else ()
    named = tuple((f"stillframe:{name}", value) for name, value in tags.items())
    return settle(made.guest, (*for_vm(made.layers, VM), *over), "Linux", named, made.own_tags)


def codes(found: Settled) -> list[str]:
    return [remark.code for remark in found.remarks]


@pytest.mark.parametrize(
    ("tag", "value", "setting", "expected"),
    [
        ("guest-processing", "off", "enabled", False),
        ("guest-processing", "on", "enabled", True),
        ("application-aware", "off", "application_aware", ApplicationAware.OFF),
        ("application-aware", "on", "detect_handlers", True),
        ("application-aware", "require", "application_required", True),
        ("on-guest-failure", "continue", "on_guest_failure", OnGuestFailure.CONTINUE),
        ("freeze-budget-ms", "12000", "freeze_budget_ms", 12_000),
        ("freeze-budget-ms", "12000", "quiesce_timeout_ms", 8_000),
        ("Application-Aware", " Require ", "application_required", True),
    ],
)
def test_a_tag_changes_its_setting_where_it_is_allowed_and_is_told_where_it_is_not(
    tag: str, value: str, setting: str, expected: object
) -> None:
    found = settled({tag: value})
    assert (getattr(found.guest, setting), codes(found)) == (expected, [])

    ignored = settled({tag: value}, allowed=[])
    assert ignored.guest == settled({}).guest
    assert codes(ignored) == ["not_allowed"]
    assert not ignored.remarks[0].wrong
    assert tag.lower() in ignored.remarks[0].sentence


BAD = [
    ("guest-processing", "no", "expected one of on, off; what the policy says goes"),
    ("guest-processing", "", "expected one of on, off"),
    ("application-aware", "required", "expected one of off, on, require"),
    ("on-guest-failure", "ignore", "expected one of fail, continue"),
    ("freeze-budget-ms", "30s", "expected a whole number from 2000 to 300000"),
    ("freeze-budget-ms", "1999", "expected a whole number from 2000"),
    ("freeze-budget-ms", "-5000", "expected a whole number"),
    ("freeze-budget-ms", "٣٠٠٠٠", "expected a whole number"),
    ("freeze-budget-ms", "30001", "expected at most 30000: a tag can only shorten"),
    ("priority", "0", "expected a whole number from 1 to 100"),
    ("priority", "101", "expected a whole number from 1 to 100"),
    ("priority", "high", "expected a whole number from 1 to 100"),
    ("exclude", "yes", "expected one of true, false; the VM stays in"),
]


@pytest.mark.parametrize(("tag", "value", "words"), BAD)
def test_a_value_that_says_nothing_is_told_and_the_policys_own_goes(tag: str, value: str, words: str) -> None:
    found = settled({tag: value})

    assert found.guest == settled({}).guest
    assert found.priority == USUAL_PRIORITY
    [remark] = found.remarks
    assert (remark.tag, remark.code, remark.wrong) == (f"stillframe:{tag}", "bad_tag", True)
    assert words in remark.sentence
    assert value in remark.sentence


@pytest.mark.parametrize(
    ("tag", "hint"),
    [
        ("aplication-aware", "did you mean stillframe:application-aware?"),
        ("guest_processing", "did you mean stillframe:guest-processing?"),
        ("pre-script", "known are exclude, guest-processing"),
    ],
)
def test_a_tag_that_nobody_knows_is_told_with_the_nearest_one(tag: str, hint: str) -> None:
    [remark] = settled({tag: "x"}).remarks
    assert (remark.code, remark.wrong) == ("unknown_tag", True)
    assert hint in remark.sentence


def test_a_long_value_is_told_in_part() -> None:
    [remark] = settled({"application-aware": "x" * 256}).remarks
    assert len(remark.sentence) < 300


def test_tags_of_others_are_nobodys_business() -> None:
    assert (
        settle(GuestProcessing(), (), "linux", (("env", "prod"), ("stillframe-x", "1")), OWN_TAGS).remarks
        == ()
    )


def test_requiring_by_tag_keeps_nothing_less_although_the_policy_would() -> None:
    found = settled({"application-aware": "require"}, {"on_guest_failure": "continue"})
    assert (found.guest.on_guest_failure, found.guest.application_required) == (OnGuestFailure.FAIL, True)
    assert codes(found) == []


@pytest.mark.parametrize(
    ("tags", "guest", "words"),
    [
        (
            {"application-aware": "require", "on-guest-failure": "continue"},
            {},
            "application_aware is require",
        ),
        ({"on-guest-failure": "continue"}, {"application_aware": "require"}, "application_aware is require"),
        ({"application-aware": "require"}, {"handlers": None}, "nothing asks an application"),
        ({"application-aware": "off"}, {"filesystems": "none", "handlers": "auto"}, "nothing would be held"),
        ({"guest-processing": "on"}, {"enabled": False, "filesystems": "none"}, "nothing would be held"),
    ],
)
def test_a_tag_that_does_not_fit_the_rest_is_left_out_and_told(
    tags: dict[str, str], guest: dict[str, Any], words: str
) -> None:
    found = settled(tags, guest)

    *fitting, (last, _) = tags.items()
    assert found.guest == settled(dict(fitting), guest).guest
    [remark] = found.remarks
    assert (remark.tag, remark.code, remark.wrong) == (f"stillframe:{last}", "tag_does_not_fit", True)
    assert words in remark.sentence


@pytest.mark.parametrize(
    ("tags", "schedule", "why"),
    [
        ({"guest-processing": "on"}, {"enabled": False}, "the schedule of this run says otherwise"),
        ({"application-aware": "require"}, {"enabled": False}, "guest processing is off"),
        ({"application-aware": "off"}, {"handlers": "auto"}, "the schedule of this run says otherwise"),
        ({"freeze-budget-ms": "25000"}, {"freeze_budget_ms": 28_000}, "the schedule of this run"),
    ],
)
def test_a_schedules_settings_lie_over_tags_and_that_is_told(
    tags: dict[str, str], schedule: dict[str, Any], why: str
) -> None:
    found = settled(tags, schedule=schedule)

    [remark] = found.remarks
    assert (remark.code, remark.wrong) == ("overruled", False)
    assert why in remark.sentence
    for name, value in schedule.items():
        if name != "handlers":
            assert getattr(found.guest, name) == value


def test_tags_lie_over_overrides_and_under_schedules_setting_by_setting() -> None:
    found = settled(
        {"application-aware": "off", "freeze-budget-ms": "20000"},
        {"overrides": [{"vms": [VM], G: {"application_aware": "require", "attempts": 4}}]},
        schedule={"attempts": 1},
    )
    assert found.guest.application_aware is ApplicationAware.OFF
    assert (found.guest.freeze_budget_ms, found.guest.attempts) == (20_000, 1)
    assert codes(found) == []


def test_whose_tag_says_no_priority_is_in_the_middle() -> None:
    assert priority_of((("Stillframe:Priority", " 7 "),)) == 7
    assert priority_of((("stillframe:priority", "first"),)) == priority_of(()) == USUAL_PRIORITY


# --- properties -------------------------------------------------------------------------------------------

VALUES = st.sampled_from(
    ["on", "off", "require", "fail", "continue", "true", "2000", "9000", "30000", "300000", "1", "", "x"]
) | st.text(max_size=8)
TAGS = st.dictionaries(
    st.sampled_from([*(f"stillframe:{name}" for name in OWN_TAGS), "stillframe:other", "env"]),
    VALUES,
    max_size=7,
).map(lambda tags: tuple(sorted(tags.items())))
BASES = st.builds(
    GuestProcessing,
    enabled=st.booleans(),
    on_guest_failure=st.sampled_from(OnGuestFailure),
    filesystems=st.sampled_from(Filesystems),
    application_aware=st.sampled_from([None, *ApplicationAware]),
    detect_handlers=st.sampled_from([None, True, False]),
    freeze_budget_ms=st.sampled_from([10_000, 30_000]),
    quiesce_timeout_ms=st.sampled_from([1_000, 5_000]),
)
SCHEDULED = st.builds(
    Changes,
    enabled=st.none() | st.booleans(),
    on_guest_failure=st.none() | st.sampled_from(OnGuestFailure),
    application_aware=st.sampled_from([None, *ApplicationAware]),
    freeze_budget_ms=st.none() | st.sampled_from([8_000, 40_000]),
)


def fits(settings: GuestProcessing, os: str) -> bool:
    return not any(rule.broken(settings, os) for rule in RULES)


@given(BASES, SCHEDULED, TAGS, st.sampled_from(SYSTEMS), st.sets(st.sampled_from(OWN_TAGS)))
def test_whatever_tags_a_vm_has_its_settings_fit_hold_no_longer_and_each_tag_counts_or_is_told(
    base: GuestProcessing, scheduled: Changes, tags: tuple[tuple[str, str], ...], os: str, allowed: set[str]
) -> None:
    layers = (Layer(changes=scheduled, over_tags=True),)
    without = resolve(base, layers, os, ())
    if not fits(without, os):
        return
    found = settle(base, layers, os, tags, tuple(allowed))

    assert fits(found.guest, os)
    assert found.guest.freeze_budget_ms <= without.freeze_budget_ms
    assert (found.guest.pre_script, found.guest.anchor) == (None, None)
    plain = settle(base, layers, os, (), tuple(allowed))
    told = {remark.tag for remark in found.remarks}
    if not allowed:
        assert found == replace(plain, remarks=found.remarks)
    for name, value in tags:
        short = name.removeprefix("stillframe:")
        if name == "env" or (short == "exclude" and value == "false"):
            assert name not in told
        elif short not in allowed:
            assert name in told
        elif name not in told:
            alone = settle(base, layers, os, ((name, value),), (short,))
            assert all(remark.code != "bad_tag" for remark in alone.remarks), (name, value)
    event(f"told: {sorted({remark.code for remark in found.remarks})}")


def test_what_else_is_wrong_with_a_member_of_a_group_keeps_none_of_its_tags_from_counting() -> None:
    anchored = GuestProcessing(anchor=Anchor(provider=AnchorProvider.BTRFS))
    rules = rules_of_members(GroupRules())
    tags = (("stillframe:on-guest-failure", "continue"), ("stillframe:freeze-budget-ms", "5000"))
    found = settle(anchored, (), "linux", tags, OWN_TAGS, rules=rules)
    assert found.guest.on_guest_failure is OnGuestFailure.CONTINUE
    assert (found.guest.freeze_budget_ms, codes(found)) == (30_000, ["tag_does_not_fit"])


@given(TAGS, st.sampled_from(SYSTEMS))
def test_no_tag_changes_a_script(tags: tuple[tuple[str, str], ...], os: str) -> None:
    base = GuestProcessing(pre_script=Script("/a"), post_script=Script("/b"))
    found = settle(base, (), os, tags, OWN_TAGS).guest
    assert (found.pre_script, found.post_script) == (base.pre_script, base.post_script)
