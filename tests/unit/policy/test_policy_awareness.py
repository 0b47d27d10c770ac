"""``application_aware`` in a document: what it means beside handlers, and which settings contradict it."""

from itertools import product
from typing import Any

import pytest

from shared.policy.awareness import aware
from shared.policy.documents import read_policy
from shared.policy.fields import DocumentError
from shared.policy.guest_processing import ApplicationAware, GuestProcessing
from shared.policy.layers import for_vm, resolve
from tests.unit.engine.fake_compute import vm_id

VM = vm_id("db-1")
G = "guest_processing"
NAMED = [{"name": "postgresql"}]
SCRIPTS = {"pre_script": {"path": "/a"}, "post_script": {"path": "/b"}}
UNSAID = object()


def document(*layers: dict[str, Any], schedule: dict[str, Any] | None = None) -> dict[str, Any]:
    """Give a policy whose settings lie on each other in this order."""
    base, *overrides = layers
    guest = {**base, "overrides": [{"vms": [VM], G: each} for each in overrides]}
    times = {"schedule": {"cron": "0 0 * * *", G: schedule}} if schedule is not None else {}
    return {"vms": [VM], G: guest, **times}


def settings(*layers: dict[str, Any], schedule: dict[str, Any] | None = None) -> GuestProcessing:
    policy = read_policy(document(*layers, schedule=schedule))
    over = policy.schedules[0].layers if policy.schedules else ()
    return aware(resolve(policy.guest, (*for_vm(policy.layers, VM), *over), "Linux", ()))


def used(found: GuestProcessing) -> str:
    return "auto" if found.detect_handlers else ",".join(handler.name for handler in found.handlers)


@pytest.mark.parametrize(
    ("word", "handlers", "expected"),
    [
        (None, UNSAID, ""), (None, None, ""), (None, [], ""),
        (None, "auto", "auto"), (None, NAMED, "postgresql"),
        ("off", UNSAID, ""), ("off", None, ""), ("off", [], ""),
        ("on", UNSAID, "auto"), ("on", "auto", "auto"), ("on", NAMED, "postgresql"),
        ("require", UNSAID, "auto"), ("require", "auto", "auto"), ("require", NAMED, "postgresql"),
        ("require", None, ""), ("require", [], ""),
    ],
)  # fmt: skip
def test_each_word_has_its_handlers(word: str | None, handlers: Any, expected: str) -> None:
    said = SCRIPTS | ({"application_aware": word} if word else {})
    found = settings(said | ({} if handlers is UNSAID else {"handlers": handlers}))

    assert used(found) == expected
    assert found.application_required is (word == "require")
    assert found.pre_script is not None, "no word takes a script away"


@pytest.mark.parametrize(
    ("lower", "upper", "expected"),
    [
        ({"handlers": NAMED}, {"application_aware": "off"}, ""),
        ({"handlers": "auto"}, {"application_aware": "off"}, ""),
        ({"handlers": NAMED}, {"application_aware": "on"}, "postgresql"),
        ({"handlers": NAMED}, {"application_aware": "require"}, "postgresql"),
        ({"application_aware": "off"}, {"handlers": NAMED}, "postgresql"),
        ({"application_aware": "off"}, {"handlers": "auto"}, "auto"),
        ({"application_aware": "off"}, {"handlers": None}, ""),
        ({"application_aware": "on"}, {"handlers": None}, ""),
        ({"application_aware": "off"}, {"application_aware": "on"}, "auto"),
    ],
)
def test_what_a_later_layer_says_wins(lower: dict[str, Any], upper: dict[str, Any], expected: str) -> None:
    assert used(settings(lower, upper)) == expected
    assert used(settings(lower, schedule=upper)) == expected


def test_handlers_that_were_off_for_a_while_are_those_that_were_named() -> None:
    layers = ({"handlers": NAMED}, {"application_aware": "off"}, {"application_aware": "on"})
    assert used(settings(*layers)) == "postgresql"


def test_an_hourly_schedule_without_guest_processing_fits_a_policy_that_requires_applications() -> None:
    assert not settings({"application_aware": "require"}, schedule={"enabled": False}).application_required


BESIDE = "not together with"
BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"application_aware": "always"}, "application_aware", "expected one of off, on, require"),
    ({"application_aware": None}, "application_aware", "expected one of off, on, require"),
    ({"application_aware": False}, "application_aware", "expected one of off, on, require"),
    ({"application_aware": []}, "application_aware", "expected one of off, on, require"),
    ({"aplication_aware": "on"}, "aplication_aware", "did you mean application_aware?"),
    ({"application_aware": "off", "handlers": "auto"}, "handlers", f"{BESIDE} application_aware: off"),
    ({"application_aware": "off", "handlers": NAMED}, "handlers", f"{BESIDE} application_aware: off"),
    ({"application_aware": "on", "handlers": []}, "handlers", "not none together with application_aware: on"),
    ({"application_aware": "on", "handlers": None}, "handlers", "not none together"),
    ({"application_aware": "on", "enabled": False}, "application_aware", f"{BESIDE} enabled: false"),
    ({"application_aware": "require", "enabled": False}, "application_aware", f"{BESIDE} enabled: false"),
    (
        {"application_aware": "require", "on_guest_failure": "continue"},
        "on_guest_failure",
        "not continue where application_aware is require",
    ),
    (
        {"application_aware": "require", "handlers": None},
        "application_aware",
        "nothing asks an application to hold still",
    ),
    (
        {"application_aware": "require", "handlers": None, **SCRIPTS, "filesystems": "none"},
        "application_aware",
        "is not proved while no filesystem is held",
    ),
    (
        {"application_aware": "off", "filesystems": "none"},
        "filesystems",
        "nothing would be held",
    ),
]


@pytest.mark.parametrize(("guest", "field", "words"), BAD)
def test_a_contradiction_is_refused_where_it_stands(guest: dict[str, Any], field: str, words: str) -> None:
    for place, made in {
        G: document(guest),
        f"{G}.overrides[0].{G}": document({}, guest),
        f"schedule.{G}": document({}, schedule=guest),
    }.items():
        with pytest.raises(DocumentError) as caught:
            read_policy(made)
        assert caught.value.field == f"{place}.{field}"
        assert words in caught.value.problem


def test_what_contradicts_only_from_layer_to_layer_names_both() -> None:
    with pytest.raises(DocumentError) as caught:
        read_policy(document({"on_guest_failure": "continue"}, {"application_aware": "require"}))
    assert caught.value.field == f"{G}.overrides[0].{G}.on_guest_failure"
    read_policy(
        document(
            {"on_guest_failure": "continue"}, {"application_aware": "require", "on_guest_failure": "fail"}
        )
    )


def test_of_all_words_and_settings_those_are_refused_that_can_never_be() -> None:
    """Every combination in one object: refused exactly by the rules as the docs have them."""
    refused = tried = 0
    for word, handlers, enabled, failure, filesystems, scripted in product(
        ["off", "on", "require"], [UNSAID, None, "auto", NAMED], [True, False], ["fail", "continue"],
        ["all", "none"], [True, False],
    ):  # fmt: skip
        guest: dict[str, Any] = {
            "application_aware": word,
            "enabled": enabled,
            "on_guest_failure": failure,
            "filesystems": filesystems,
            **(SCRIPTS if scripted else {}),
            **({} if handlers is UNSAID else {"handlers": handlers}),
        }
        beside = (
            (word == "off" and handlers in ("auto", NAMED))
            or (word == "on" and handlers is None)
            or (word != "off" and not enabled)
        )
        uses = word != "off" and handlers is not None
        nothing = enabled and filesystems == "none" and not (scripted or uses)
        never = word == "require" and (
            failure == "continue" or not (uses or scripted) or (scripted and filesystems == "none")
        )
        tried += 1
        try:
            found = settings(guest)
        except DocumentError:
            refused += 1
            assert beside or nothing or never, guest
        else:
            assert (beside, nothing, never) == (False, False, False), guest
            assert found.application_aware is ApplicationAware(word)
    assert tried == 192
    assert refused > 80
