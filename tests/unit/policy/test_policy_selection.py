"""Which VMs rules select: exclusions win, no order matters, tags are compared as Azure does."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.policy.fields import DocumentError, Fields
from shared.policy.selection import Scope, Selection, VmSummary
from shared.policy.selection_fields import read_selection
from shared.policy.tag_expressions import AllOf, AnyOf, NotThis, TagTest, read_tag_expression
from shared.saga.codec import decode, encode

SUB, SUB_2 = "00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-00000000000b"


def vm(name: str = "db-1", group: str = "Shop", subscription: str = SUB, **tags: str) -> VmSummary:
    at = f"/subscriptions/{subscription}/resourceGroups/{group}"
    vm_id = f"{at}/providers/Microsoft.Compute/virtualMachines/{name}"
    return VmSummary(
        id=vm_id,
        name=name,
        resource_group=group,
        subscription=subscription,
        location="westeurope",
        os="Linux",
        tags=tuple(tags.items()),
    )


def selection(*, vms: tuple[str, ...] = (), by_tag: bool = False, **rules: Any) -> Selection:
    document = {"vms": list(vms), "selection": rules or None}
    return read_selection(Fields(document, "", ("vms", "selection")), by_tag=by_tag)


NAMES, VALUES = st.sampled_from(["env", "tier", "backup"]), st.sampled_from(["prod", "db", ""])
TESTS = st.builds(lambda tag, value: TagTest(tag=tag, values=(value,)), NAMES, VALUES) | st.builds(
    lambda tag, there: TagTest(tag=tag, exists=there), NAMES, st.booleans()
)
EXPRESSIONS = st.recursive(
    TESTS,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: AllOf(tuple(parts)))
        | st.lists(inner, min_size=1, max_size=3).map(lambda parts: AnyOf(tuple(parts)))
        | inner.map(NotThis)
    ),
    max_leaves=8,
)
TAGGED = st.dictionaries(NAMES, VALUES)


@given(st.lists(EXPRESSIONS, min_size=1, max_size=4), TAGGED)
def test_not_all_is_any_not_and_not_any_is_all_not(parts: list[Any], tags: dict[str, str]) -> None:
    whole, each = tuple(parts), tuple(NotThis(part) for part in parts)
    assert NotThis(AllOf(whole)).holds(tags) == AnyOf(each).holds(tags)
    assert NotThis(AnyOf(whole)).holds(tags) == AllOf(each).holds(tags)


@given(st.lists(EXPRESSIONS, min_size=1, max_size=4), TAGGED, st.randoms(use_true_random=False))
def test_the_order_of_parts_does_not_matter(
    parts: list[Any], tags: dict[str, str], dice: random.Random
) -> None:
    mixed = list(parts)
    dice.shuffle(mixed)
    assert AllOf(tuple(parts)).holds(tags) == AllOf(tuple(mixed)).holds(tags)
    assert AnyOf(tuple(parts)).holds(tags) == AnyOf(tuple(mixed)).holds(tags)


@given(EXPRESSIONS)
def test_an_expression_is_stored_and_read_as_it_was(expression: Any) -> None:
    assert decode(AllOf, encode(AllOf((expression,)))) == AllOf((expression,))


RULES = st.sampled_from(
    [
        {"subscriptions": [SUB], "names": ["db-*"]},
        {"subscriptions": [SUB, SUB_2]},
        {"subscriptions": [SUB], "tags": {"tag": "env", "equals": "prod"}},
        {"subscriptions": [SUB_2], "resource_groups": ["sh*"]},
    ]
)
VMS = st.builds(
    lambda name, subscription, tags: vm(name, subscription=subscription, **tags),
    st.sampled_from(["db-1", "web-1", "DB-9"]),
    st.sampled_from([SUB, SUB_2]),
    TAGGED,
)


@given(st.lists(RULES, min_size=1, max_size=3), st.lists(RULES, max_size=3), VMS)
def test_exclusions_win_whatever_includes_and_the_order_of_rules_does_not_matter(
    include: list[Any], exclude: list[Any], one: VmSummary
) -> None:
    chosen = selection(vms=(one.id,), include=include, exclude=exclude)
    out = any(rule.fits(one) for rule in chosen.exclude)
    assert chosen.judge(one).selected is not out
    turned = selection(include=include[::-1], exclude=exclude[::-1])
    assert turned.judge(one).selected == selection(include=include, exclude=exclude).judge(one).selected


@given(st.lists(RULES, min_size=1, max_size=3), VMS)
def test_what_a_rule_is_about_lies_in_what_is_listed(include: list[Any], one: VmSummary) -> None:
    chosen = selection(include=include)
    here = {Scope(one.subscription.lower()), Scope(one.subscription.lower(), one.resource_group.lower())}
    assert not chosen.judge(one).selected or here & set(chosen.scopes())


def test_names_and_groups_are_compared_without_case_and_values_of_tags_with_it() -> None:
    chosen = selection(
        include=[{"subscriptions": [SUB.upper()], "resource_groups": ["sHOP"], "names": ["DB-?"]}]
    )
    assert chosen.judge(vm()).selected
    tagged = selection(include=[{"subscriptions": [SUB], "tags": {"tag": "ENV", "equals": "prod"}}])
    assert tagged.judge(vm(Env="prod")).selected
    assert not tagged.judge(vm(Env="Prod")).selected


def test_a_group_that_is_named_is_listed_and_no_more() -> None:
    chosen = selection(include=[{"subscriptions": [SUB], "resource_groups": ["Shop", "shop"]}])
    assert chosen.scopes() == (Scope(SUB, "shop"),)
    whole = selection(include=[{"subscriptions": [SUB], "resource_groups": ["a"]}, {"subscriptions": [SUB]}])
    assert whole.scopes() == (Scope(SUB),)
    patterned = selection(include=[{"subscriptions": [SUB], "resource_groups": ["s*"]}])
    assert patterned.scopes() == (Scope(SUB),)


def test_a_list_of_ids_needs_no_question_unless_an_exclusion_looks_at_more_than_ids() -> None:
    named = (vm().id,)
    assert selection(vms=named, exclude=[{"names": ["x"]}]).is_a_list
    assert not selection(vms=named, exclude=[{"tags": {"tag": "a", "exists": True}}]).is_a_list
    assert not selection(vms=named, by_tag=True).is_a_list


def test_a_vm_may_leave_itself_out_only_where_the_policy_lets_tags_say_so() -> None:
    tagged = VmSummary(
        id=vm().id,
        name="db-1",
        resource_group="Shop",
        subscription=SUB,
        tags=(("Stillframe:Exclude", "TRUE"),),
    )
    assert selection(vms=(tagged.id,)).judge(tagged).selected
    assert not selection(vms=(tagged.id,), by_tag=True).judge(tagged).selected


@pytest.mark.parametrize("pattern", ["*" * 100 + "a", "[a-" * 30, "a*" * 60])
def test_no_pattern_takes_long_or_fails(pattern: str) -> None:
    expression = read_tag_expression({"tag": "env", "pattern": pattern}, "tags")
    assert expression.holds({"env": "a" * 255 + "b"}) in (True, False)


def test_an_error_names_the_part() -> None:
    with pytest.raises(DocumentError) as caught:
        read_tag_expression({"all": [{"tag": "a", "exists": True}, {"any": [{"tag": 7}]}]}, "tags")
    assert caught.value.field == "tags.all[1].any[0].tag"
