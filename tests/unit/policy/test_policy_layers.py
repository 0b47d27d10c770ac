"""Guest processing in layers: what wins, what may not come together, and that nothing is half applied."""

from dataclasses import fields, replace
from itertools import combinations as subsets
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.policy import combinations
from shared.policy.awareness import aware
from shared.policy.documents import read_policy, read_run
from shared.policy.fields import DocumentError
from shared.policy.guest_processing import (
    Anchor,
    AnchorProvider,
    ApplicationAware,
    Filesystems,
    GuestProcessing,
    Handler,
    HandlerName,
    OnGuestFailure,
    Script,
)
from shared.policy.layers import Changes, Layer, anchored_by_default, for_vm, resolve
from shared.saga.codec import decode, encode

GROUP = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/app"
VM = f"{GROUP}/providers/Microsoft.Compute/virtualMachines/db-1"
VM_2 = f"{GROUP}/providers/Microsoft.Compute/virtualMachines/db-2"
G = "guest_processing"


def resolved(
    guest: dict[str, Any], vm: str = VM, os: str = "Linux", tags: dict[str, str] | None = None
) -> GuestProcessing:
    policy = read_policy({"vms": [VM, VM_2], G: guest})
    layers = for_vm(policy.layers, vm)
    return resolve(policy.guest, layers, os, tuple((tags or {}).items()))


def refusal(guest: dict[str, Any]) -> DocumentError:
    with pytest.raises(DocumentError) as caught:
        read_run({"vms": [VM, VM_2], G: guest})
    return caught.value


def scripts(name: str) -> dict[str, Any]:
    return {"pre_script": {"path": f"/{name}/pre"}, "post_script": {"path": f"/{name}/post"}}


def pre(guest: GuestProcessing) -> str:
    return guest.pre_script.path if guest.pre_script else ""


def test_each_system_has_its_own_scripts() -> None:
    guest = {"attempts": 3, "linux": scripts("linux"), "windows": scripts("windows")}

    assert pre(resolved(guest, os="Linux")) == "/linux/pre"
    assert pre(resolved(guest, os="Windows")) == "/windows/pre"
    assert {resolved(guest, os=os).attempts for os in ("Linux", "Windows", "")} == {3}


def test_an_override_is_for_the_vms_that_it_names_in_any_case() -> None:
    guest = {**scripts("all"), "overrides": [{"vms": [VM.upper()], G: scripts("one")}]}

    assert pre(resolved(guest)) == "/one/pre"
    assert pre(resolved(guest, vm=VM_2)) == "/all/pre"


def test_an_override_is_for_the_vms_with_all_of_its_tags() -> None:
    guest = {**scripts("all"), "overrides": [{"tags": {"Role": "db", "env": "prod"}, G: scripts("db")}]}

    assert pre(resolved(guest, tags={"role": "db", "ENV": "prod", "x": ""})) == "/db/pre"
    for tags in ({}, {"role": "db"}, {"role": "DB", "env": "prod"}, {"role": "web", "env": "prod"}):
        assert pre(resolved(guest, tags=tags)) == "/all/pre"


def test_vms_and_tags_together_want_both() -> None:
    guest = {"overrides": [{"vms": [VM], "tags": {"a": "b"}, G: {"attempts": 5}}]}

    assert resolved(guest, tags={"a": "b"}).attempts == 5
    assert resolved(guest).attempts == resolved(guest, vm=VM_2, tags={"a": "b"}).attempts == 2


def test_a_later_override_wins_setting_by_setting() -> None:
    guest = {
        "linux": {"attempts": 3, "arming_timeout_ms": 10_000},
        "overrides": [
            {"vms": [VM], G: {"attempts": 4, "resume_timeout_ms": 70_000}},
            {"tags": {"a": "b"}, G: {"attempts": 5}},
        ],
    }

    found = resolved(guest, tags={"a": "b"})

    assert (found.attempts, found.resume_timeout_ms, found.arming_timeout_ms) == (5, 70_000, 10_000)


def test_null_takes_away_what_a_layer_below_has() -> None:
    nothing = {"pre_script": None, "post_script": None, "anchor": None, "handlers": None}
    guest = {
        **scripts("all"),
        "handlers": "auto",
        "anchor": {"provider": "lvm"},
        "overrides": [{"vms": [VM], G: nothing}],
    }

    assert aware(resolved(guest)) == aware(GuestProcessing())
    assert resolved(guest, vm=VM_2).detect_handlers


def test_handlers_and_anchor_are_read() -> None:
    handler = {"name": "postgresql", "mode": "drained", "required": False, "settings": {"port": "5433"}}
    guest = {
        "handlers": [handler],
        "anchor": {"provider": "vss", "lifetime_ms": 60_000, "settings": {"a": "b"}},
    }

    found = resolved(guest)

    assert found.handlers == (
        Handler(name=HandlerName.POSTGRESQL, mode="drained", required=False, settings=(("port", "5433"),)),
    )
    assert found.anchor == Anchor(provider=AnchorProvider.VSS, lifetime_ms=60_000, settings=(("a", "b"),))
    assert resolved({"handlers": "auto"}).detect_handlers


@pytest.mark.parametrize(
    ("guest", "field", "words"),
    [
        ({"linux": {"overrides": []}}, "linux.overrides", "unknown field"),
        ({"linux": {"attempt": 1}}, "linux.attempt", "did you mean attempts?"),
        ({"macos": {}}, "macos", "unknown field"),
        ({"linux": []}, "linux", "JSON object"),
        ({"overrides": {}}, "overrides", "list of at most 16"),
        ({"overrides": [{}] * 17}, "overrides", "list of at most 16"),
        ({"overrides": [{G: {}}]}, "overrides[0]", "vms or tags"),
        ({"overrides": [{"vms": [], "tags": {}, G: {}}]}, "overrides[0]", "vms or tags"),
        ({"overrides": [{"vms": [VM]}]}, "overrides[0].guest_processing", "JSON object"),
        ({"overrides": [{"vms": [VM + "x"], G: {}}]}, "overrides[0].vms[0]", "document's own vms"),
        ({"overrides": [{"vm": [VM], G: {}}]}, "overrides[0].vm", "did you mean vms?"),
        ({"overrides": [{"tags": {"a": "x", "A": "y"}, G: {}}]}, "overrides[0].tags", "twice"),
        ({"overrides": [{"tags": {"a": 1}, G: {}}]}, "overrides[0].tags.a", "text"),
        ({"overrides": [{"tags": {"a": "b"}, G: {"attempts": 9}}]}, f"overrides[0].{G}.attempts", "1 to 5"),
        ({"overrides": [{"tags": {"a": "b"}, G: {"linux": {}}}]}, f"overrides[0].{G}.linux", "unknown"),
        ({"handlers": "all"}, "handlers", "auto"),
        ({"handlers": [{}]}, "handlers[0].name", "postgresql"),
        ({"handlers": [{"name": "oracle"}]}, "handlers[0].name", "postgresql"),
        ({"handlers": [{"name": "mysql", "settings": {"a": 1}}]}, "handlers[0].settings.a", "text"),
        ({"anchor": {}}, "anchor.provider", "vss, btrfs, lvm"),
        ({"anchor": {"provider": "lvm", "lifetime_ms": 1}}, "anchor.lifetime_ms", "from 10000"),
    ],
)
def test_a_bad_layer_is_refused_by_its_field(guest: dict[str, Any], field: str, words: str) -> None:
    error = refusal(guest)

    assert (error.field, words in error.problem) == (f"{G}.{field}", True), error.problem


def test_a_layer_that_does_not_fit_what_lies_below_is_refused_where_it_stands() -> None:
    error = refusal({"overrides": [{"tags": {"a": "b"}, G: {"freeze_budget_ms": 10_000}}]})

    assert error.field == f"{G}.overrides[0].{G}.quiesce_timeout_ms"
    assert "less than freeze_budget_ms (10000)" in error.problem


def test_two_layers_that_do_not_fit_each_other_are_both_named() -> None:
    error = refusal(
        {
            "overrides": [
                {"tags": {"a": "b"}, G: {"freeze_budget_ms": 10_000, "quiesce_timeout_ms": 5_000}},
                {"tags": {"c": "d"}, G: {"quiesce_timeout_ms": 15_000}},
            ]
        }
    )

    assert error.field == f"{G}.overrides[1].{G}.quiesce_timeout_ms"
    assert f"together with {G}.overrides[0]" in error.problem


@pytest.mark.parametrize(
    ("one", "other"),
    [({"vms": [VM]}, {"vms": [VM_2]}), ({"tags": {"a": "b"}}, {"tags": {"A": "c"}})],
)
def test_layers_that_can_never_come_together_need_not_fit(one: dict[str, Any], other: dict[str, Any]) -> None:
    short = {"freeze_budget_ms": 10_000, "quiesce_timeout_ms": 5_000}
    document = {"overrides": [{**one, G: short}, {**other, G: {"quiesce_timeout_ms": 15_000}}]}

    read_run({"vms": [VM, VM_2], G: document})


def test_a_system_on_which_nothing_would_be_held_is_refused() -> None:
    error = refusal({"filesystems": "none", "linux": scripts("linux")})

    assert (error.field, "nothing would be held" in error.problem) == (f"{G}.filesystems", True)
    read_run({"vms": [VM], G: {"filesystems": "none", "linux": scripts("l"), "windows": {"enabled": False}}})


def test_an_override_that_takes_the_post_script_away_is_refused() -> None:
    error = refusal({**scripts("all"), "overrides": [{"vms": [VM_2], G: {"post_script": None}}]})

    assert error.field == f"{G}.overrides[0].{G}.post_script"


# --- properties -------------------------------------------------------------------------

A, B = Script("/a"), Script("/b", retries=1)
CHANGES = st.builds(
    Changes,
    enabled=st.none() | st.booleans(),
    filesystems=st.none() | st.sampled_from(Filesystems),
    pre_script=st.none() | st.sampled_from([A, B]),
    post_script=st.none() | st.sampled_from([A, B]),
    freeze_budget_ms=st.none() | st.sampled_from([5_000, 20_000, 40_000]),
    quiesce_timeout_ms=st.none() | st.sampled_from([1_000, 10_000, 30_000]),
    attempts=st.none() | st.integers(1, 5),
    on_guest_failure=st.none() | st.sampled_from(OnGuestFailure),
)
#: What is said of handlers, always together, and what changes what comes of them.
HANDLERS = st.sampled_from(
    [{}, {}, {"handlers": (), "detect_handlers": False}, {"handlers": (), "detect_handlers": True}]
)
AWARE = st.sampled_from([None, None, None, *ApplicationAware])
CHANGES = st.builds(
    lambda changes, handlers, word: replace(changes, **handlers, application_aware=word),
    CHANGES,
    HANDLERS,
    AWARE,
)
TAGS = st.dictionaries(st.sampled_from("ab"), st.sampled_from("xy"), max_size=2).map(
    lambda tags: tuple(sorted(tags.items()))
)
LAYERS = st.lists(
    st.builds(
        Layer,
        os=st.sampled_from(["", "", "linux", "windows"]),
        vms=st.sampled_from([(), (), (VM,), (VM_2,), (VM, VM_2)]),
        tags=TAGS,
        changes=CHANGES,
    ),
    max_size=5,
)
SYSTEM = st.sampled_from(["Linux", "Windows"])


@given(LAYERS, st.sampled_from([VM, VM_2]), SYSTEM, TAGS)
def test_every_setting_is_that_of_the_last_layer_that_says_it(
    layers: list[Layer], vm: str, os: str, tags: tuple[tuple[str, str], ...]
) -> None:
    found = resolve(GuestProcessing(), for_vm(layers, vm), os, tags)

    fitting = [
        layer
        for layer in layers
        if layer.os in ("", os.lower())
        and (not layer.vms or vm in layer.vms)
        and set(layer.tags) <= set(tags)
    ]
    for each in fields(GuestProcessing):
        if each.name == "application_aware":
            continue  # see the next test
        said = [getattr(layer.changes, each.name) for layer in fitting]
        said = [value for value in said if value is not None]
        assert getattr(found, each.name) == (said[-1] if said else getattr(GuestProcessing(), each.name))


@given(LAYERS, SYSTEM)
def test_off_counts_until_a_later_layer_names_handlers_or_says_otherwise(
    layers: list[Layer], os: str
) -> None:
    expected: ApplicationAware | None = None
    for layer in for_vm(layers, VM):
        if not layer.fits(os.lower(), {}):
            continue
        if layer.changes.application_aware is not None:
            expected = layer.changes.application_aware
        elif layer.changes.detect_handlers and expected is ApplicationAware.OFF:
            expected = ApplicationAware.ON

    assert resolve(GuestProcessing(), for_vm(layers, VM), os, ()).application_aware is expected


def test_all_filesystems_of_a_windows_guest_are_held_by_vss_unless_another_anchor_is_ordered() -> None:
    by_vss = Anchor(provider=AnchorProvider.VSS)
    longer = Anchor(provider=AnchorProvider.VSS, lifetime_ms=600_000, settings=(("backup", "full"),))

    assert anchored_by_default(GuestProcessing(), "Windows").anchor == by_vss
    assert anchored_by_default(GuestProcessing(anchor=longer), "Windows").anchor == longer
    without = GuestProcessing(filesystems=Filesystems.NONE)
    assert anchored_by_default(without, "Windows").anchor is None
    assert anchored_by_default(GuestProcessing(), "Linux").anchor is None


@given(LAYERS, SYSTEM, TAGS)
def test_layers_survive_being_stored(layers: list[Layer], os: str, tags: tuple[tuple[str, str], ...]) -> None:
    stored = [decode(Layer, encode(layer)) for layer in layers]

    assert resolve(GuestProcessing(), stored, os, tags) == resolve(GuestProcessing(), layers, os, tags)


def breaks_somewhere(layers: list[Layer]) -> bool:
    """Try every set of tags that there can be, on every VM and system."""
    every = [("a", "x"), ("a", "y"), ("b", "x"), ("b", "y")]
    for size in range(3):
        for tags in subsets(every, size):
            if len({name for name, _ in tags}) < size:
                continue
            for vm in (VM, VM_2):
                for os in combinations.SYSTEMS:
                    found = resolve(GuestProcessing(), for_vm(layers, vm), os, tags)
                    if any(rule.broken(found, os) for rule in combinations.RULES):
                        return True
    return False


@settings(max_examples=300)
@given(LAYERS)
def test_settings_are_refused_exactly_when_some_vm_would_get_settings_that_do_not_fit(
    layers: list[Layer],
) -> None:
    placed = [combinations.Placed(f"layer{number}", layer) for number, layer in enumerate(layers)]
    try:
        combinations.check("base", GuestProcessing(), placed, [VM, VM_2])
    except DocumentError:
        assert breaks_somewhere(layers)
    else:
        assert not breaks_somewhere(layers)


def test_as_many_overrides_as_allowed_are_checked_soon() -> None:
    whole = {"filesystems": "all", "handlers": "auto", "enabled": True, "anchor": {"provider": "lvm"}}
    overrides = [{"tags": {f"t{number}": "x"}, G: {**scripts(str(number)), **whole}} for number in range(16)]
    guest = {"filesystems": "none", "application_aware": "require", **scripts("all"), "handlers": "auto"}

    with pytest.raises(DocumentError, match="while no filesystem is held"):
        read_run({"vms": [VM], G: {**guest, "overrides": overrides}})
    held = {**guest, "linux": {"filesystems": "all"}}
    assert len(read_run({"vms": [VM], G: {**held, "overrides": overrides}}).layers) == 17
