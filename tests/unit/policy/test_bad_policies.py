"""Bad policies: each gets one error that names its field and says what would be right; nothing changes."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from shared.policy.documents import read_policy
from shared.policy.fields import DocumentError
from tests.unit.engine.fake_compute import vm_id
from tests.unit.engine.house import House

VM, OTHER = vm_id("db-1"), vm_id("db-2")
SUB = "00000000-0000-0000-0000-000000000001"
GOOD: dict[str, Any] = {
    "version": 1,
    "description": "what is in production",
    "vms": [VM],
    "selection": {
        "include": [{"subscriptions": [SUB], "tags": {"all": [{"tag": "env", "equals": "prod"}]}}],
        "exclude": [{"names": ["*-old"]}],
    },
    "guest_processing": {
        "handlers": [{"name": "postgresql"}],
        "pre_script": {"path": "/opt/pre.sh"},
        "post_script": {"path": "/opt/post.sh"},
        "overrides": [{"tags": {"tier": "db"}, "guest_processing": {"attempts": 1}}],
    },
    "snapshots": {"resource_group": "points", "tags": {"owner": "dba"}},
    "schedules": [
        {
            "name": "nightly",
            "cron": "30 2 * * *",
            "time_zone": "Europe/Berlin",
            "start_within_ms": 3_600_000,
            "blackout": [{"days": ["sat"], "from": "22:00", "to": "06:00"}],
        },
        {"name": "hourly", "cron": "0 * * * *", "guest_processing": {"enabled": False}},
    ],
    "retention": {"keep_last": 7},
    "concurrency": {"vms": 50},
}

Change = Callable[[dict[str, Any]], None]
GONE = object()


def put(path: str, value: Any) -> Change:
    """Put a value at a path like ``schedules.0.cron``; GONE takes the member away."""

    def change(document: dict[str, Any]) -> None:
        *parents, last = path.split(".")
        place: Any = document
        for name in parents:
            place = place[int(name)] if isinstance(place, list) else place[name]
        if value is GONE:
            del place[last]
        elif isinstance(place, list):
            place[int(last)] = value
        else:
            place[last] = value

    return change


TAGS = "selection.include[0].tags"
FIRST = "schedules[0]"
DEEP: dict[str, Any] = {"tag": "a", "exists": True}
for _ in range(9):
    DEEP = {"not": DEEP}
MANY = {"any": [{"tag": "a", "equals": str(number)} for number in range(65)]}

BAD: list[tuple[Change, str, str]] = [
    (put("selektion", {}), "selektion", "did you mean selection?"),
    (put("Schedules", []), "Schedules", "did you mean schedules?"),
    (put("colour", "red"), "colour", "known here: version"),
    (put("version", 2), "version", "expected 1, the only version"),
    (put("version", "1"), "version", "expected 1"),
    (put("version", 1.0), "version", "expected 1"),
    (put("description", 7), "description", "a text of 1 to 1024"),
    (put("description", " "), "description", "a text of 1 to 1024"),
    (put("description", "x" * 1025), "description", "a text of 1 to 1024"),
    (put("allow_tags", ["pre-script"]), "allow_tags[0]", "expected one of exclude"),
    (put("allow_tags", "exclude"), "allow_tags", "a list of at most"),
    (put("vms", VM), "vms", "a list of at most 2000"),
    (put("vms", ["db-1"]), "vms[0]", "expected the ARM id of a VM"),
    (put("vms", [VM, VM.upper()]), "vms[1]", "named twice"),
    (put("vms", [7]), "vms[0]", "expected a text"),
    (put("selection", []), "selection", "expected a JSON object"),
    (put("selection.inclued", []), "selection.inclued", "did you mean include?"),
    (put("selection.include", {}), "selection.include", "a list of at most 64"),
    (put("selection.include", [{}] * 65), "selection.include", "a list of at most 64"),
    (put("selection.include.0", "all"), "selection.include[0]", "expected a JSON object"),
    (put("selection.include.0", {}), "selection.include[0]", "expected vms or a condition"),
    (put("selection.include.0.subscriptions", GONE), "selection.include[0].subscriptions", "to look in"),
    (put("selection.include.0.subscriptions", []), "selection.include[0].subscriptions", "at least one"),
    (
        put("selection.include.0.subscriptions", ["prod"]),
        "selection.include[0].subscriptions[0]",
        "the id of",
    ),
    (
        put("selection.include.0.subscription", SUB),
        "selection.include[0].subscription",
        "mean subscriptions?",
    ),
    (put("selection.include.0.vms", [VM]), "selection.include[0].subscriptions", "not together with vms"),
    (put("selection.include.0.names", []), "selection.include[0].names", "leave the member out"),
    (put("selection.include.0.names", [""]), "selection.include[0].names[0]", "a text of 1 to 128"),
    (put("selection.include.0.names", "db-*"), "selection.include[0].names", "a list of at most 100"),
    (put("selection.include.0.names", ["x" * 129]), "selection.include[0].names[0]", "at most 128"),
    (put("selection.include.0.os", "beos"), "selection.include[0].os", "one of linux, windows"),
    (put("selection.include.0.tags", []), TAGS, "expected a JSON object"),
    (put("selection.include.0.tags", {"env": "prod"}), f"{TAGS}.env", "unknown field"),
    (put("selection.include.0.tags", {}), TAGS, "expected one of tag, all, any, not"),
    (put("selection.include.0.tags", {"all": [], "any": []}), TAGS, "no second one"),
    (put("selection.include.0.tags", {"all": []}), f"{TAGS}.all", "at least one expression"),
    (put("selection.include.0.tags", {"any": {"tag": "a"}}), f"{TAGS}.any", "a list of at least one"),
    (put("selection.include.0.tags", {"tag": "env"}), TAGS, "expected one of equals, in, exists, pattern"),
    (put("selection.include.0.tags", {"tag": "e", "equals": "a", "in": ["a"]}), f"{TAGS}.in", "not together"),
    (put("selection.include.0.tags", {"tag": "e", "equals": True}), f"{TAGS}.equals", "at most 256"),
    (put("selection.include.0.tags", {"tag": "e", "in": []}), f"{TAGS}.in", "at least one value"),
    (put("selection.include.0.tags", {"tag": "e", "exists": "yes"}), f"{TAGS}.exists", "true or false"),
    (put("selection.include.0.tags", {"tag": "", "exists": True}), f"{TAGS}.tag", "a text of 1 to 512"),
    (put("selection.include.0.tags", {"not": {"tag": "a"}}), f"{TAGS}.not", "expected one of equals"),
    (put("selection.include.0.tags", {"all": [DEEP["not"]], "equals": "x"}), f"{TAGS}.equals", "with tag"),
    (put("selection.include.0.tags", DEEP), f"{TAGS}{'.not' * 8}", "at most 8 expressions inside"),
    (put("selection.include.0.tags", MANY), TAGS, "at most 64 tests"),
    (put("selection.exclude.0", {}), "selection.exclude[0]", "a rule about every VM"),
    (put("schedule", {"cron": "0 0 * * *"}), "schedule", "not together with schedules"),
    (put("schedules", {"cron": "0 0 * * *"}), "schedules", "a list of at most 16"),
    (put("schedules", [GOOD["schedules"][0]] * 17), "schedules", "a list of at most 16"),
    (put("schedules.0.name", GONE), f"{FIRST}.name", "a text of 1 to 63"),
    (put("schedules.0.name", "Nightly Run"), f"{FIRST}.name", "small letters, digits and hyphens"),
    (put("schedules.1.name", "nightly"), "schedules[1].name", "another schedule has this name"),
    (put("schedules.0.cron", GONE), f"{FIRST}.cron", "a text of 1 to 200"),
    (put("schedules.0.cron", "@daily"), f"{FIRST}.cron", "expected five fields"),
    (put("schedules.0.cron", "0 0 2 * * *"), f"{FIRST}.cron", "expected five fields"),
    (put("schedules.0.cron", "61 2 * * *"), f"{FIRST}.cron", "expected a cron expression: Bad minute"),
    (put("schedules.0.cron", "0 0 31 2 *"), f"{FIRST}.cron", "expected a cron expression"),
    (put("schedules.0.time_zone", "Berlin"), f"{FIRST}.time_zone", "a name like Europe/Berlin"),
    (put("schedules.0.timezone", "UTC"), f"{FIRST}.timezone", "did you mean time_zone?"),
    (put("schedules.0.start_within_ms", 1_000), f"{FIRST}.start_within_ms", "a whole number from 120000"),
    (put("schedules.0.start_within_ms", "1h"), f"{FIRST}.start_within_ms", "a whole number"),
    (put("schedules.0.paused", "no"), f"{FIRST}.paused", "expected true or false"),
    (put("schedules.0.blackout", {}), f"{FIRST}.blackout", "a list of at most 32"),
    (put("schedules.0.blackout.0.from", 1320), f"{FIRST}.blackout[0].from", "a time of the day as a text"),
    (put("schedules.0.blackout.0.from", "24:00"), f"{FIRST}.blackout[0].from", "before 24:00"),
    (put("schedules.0.blackout.0.to", "6:00"), f"{FIRST}.blackout[0].to", "a time of the day"),
    (put("schedules.0.blackout.0.to", "22:00"), f"{FIRST}.blackout[0].to", "the same as from"),
    (put("schedules.0.blackout.0.days", ["saturday"]), f"{FIRST}.blackout[0].days[0]", "one of mon, tue"),
    (put("schedules.0.blackout.0.days", []), f"{FIRST}.blackout[0].days", "at least one"),
    (put("schedules.0.blackout", [{"from": "00:00", "to": "24:00"}]), f"{FIRST}.blackout", "ever run"),
    (
        put("schedules.1.guest_processing", {"filesystem": "none"}),
        "schedules[1].guest_processing.filesystem",
        "did you mean filesystems?",
    ),
    (
        put("schedules.1.guest_processing", {"freeze_budget_ms": 2_000}),
        "schedules[1].guest_processing.quiesce_timeout_ms",
        "must be less than freeze_budget_ms",
    ),
    (
        put("schedules.1.guest_processing", {"post_script": None}),
        "schedules[1].guest_processing.post_script",
        "what the pre-script stops must be started",
    ),
    (
        put("schedules.1.guest_processing", {"overrides": []}),
        "schedules[1].guest_processing.overrides",
        "unknown field",
    ),
    (put("guest_processing.handlers", "all"), "guest_processing.handlers", 'expected "auto"'),
    (put("guest_processing.handlers.0.name", "oracle"), "guest_processing.handlers[0].name", "one of"),
    (put("allow_tags", ["exclude", "priority"]), "allow_tags[1]", "only together with concurrency.order"),
    (put("allow_tags", ["exclude", "exclude"]), "allow_tags[1]", "named twice"),
    (put("concurrency.order", "priority"), "concurrency.order", "with priority in allow_tags"),
    (put("concurrency.order", "biggest"), "concurrency.order", "one of listed, name, rules, priority"),
    (
        put("guest_processing.application_aware", "yes"),
        "guest_processing.application_aware",
        "off, on, require",
    ),
    (put("guest_processing.application_aware", "off"), "guest_processing.handlers", "not together with"),
    (
        put("guest_processing", {"application_aware": "require", "on_guest_failure": "continue"}),
        "guest_processing.on_guest_failure",
        "not continue where application_aware is require",
    ),
    (
        put("schedules.1.guest_processing", {"application_aware": "on", "enabled": False}),
        "schedules[1].guest_processing.application_aware",
        "not together with enabled: false",
    ),
    (put("guest_processing.attempts", 0), "guest_processing.attempts", "from 1 to 5"),
    (put("guest_processing.post_script", GONE), "guest_processing.post_script", "must be started"),
    (put("guest_processing.overrides.0.tags", {}), "guest_processing.overrides[0]", "vms or tags"),
    (put("guest_processing.overrides.0.vms", ["x"]), "guest_processing.overrides[0].vms[0]", "the ARM id"),
    (put("snapshots.resource_group", "a/b"), "snapshots.resource_group", "the name of a resource group"),
    (put("snapshots.tags", {"stillframe-run": "x"}), "snapshots.tags.stillframe-run", "not stillframe-"),
    (put("retention.keep_last", -1), "retention.keep_last", "a whole number"),
    (put("retention.keep_lost", 1), "retention.keep_lost", "did you mean keep_last?"),
    (put("concurrency.vms", "many"), "concurrency.vms", "a whole number"),
]


def bad(change: Change) -> dict[str, Any]:
    document = copy.deepcopy(GOOD)
    change(document)
    return document


def test_there_are_at_least_sixty_kinds_and_the_good_one_is_good() -> None:
    assert len({(field, words) for _, field, words in BAD}) >= 60
    read_policy(GOOD)


@pytest.mark.parametrize(("change", "field", "words"), BAD)
async def test_a_bad_policy_gets_one_error_and_nothing_is_stored(
    change: Change, field: str, words: str
) -> None:
    house = House()
    await house.app.policies.put("nightly", GOOD, None)
    before = repr(house.tables._tables)
    with pytest.raises(DocumentError) as caught:
        await house.app.policies.put("nightly", bad(change), None)
    assert caught.value.field == field
    assert words in caught.value.problem
    assert repr(house.tables._tables) == before


@pytest.mark.parametrize("document", [None, [], "text", 7, {}, {"selection": {}}, {"vms": []}])
def test_what_names_no_vm_is_no_policy(document: Any) -> None:
    with pytest.raises(DocumentError):
        read_policy(document)
