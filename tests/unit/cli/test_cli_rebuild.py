"""``rebuild-index``: what it asks of the API, page by page and group by group, and how it ends."""

import json
from typing import Any

import httpx
import pytest

from cli.errors import Code
from tests.unit.cli.api_double import VM, Api, ok

PATH = "/recovery-points/rebuild"


def found(point: str, action: str = "create", **more: Any) -> dict[str, Any]:
    return {
        "point": point,
        "action": action,
        "why": "from its tags",
        "vm": VM,
        "policy": "nightly",
        "grade": "application",
        "created_at": "2026-11-24T00:00:00.000Z",
        "resources": [],
        "copies": [],
        "lacking": [],
        **more,
    }


def page(*items: dict[str, Any], following: str | None = None) -> httpx.Response:
    return ok({"applied": False, "items": list(items), "continuation": following})


def test_all_pages_of_all_groups_are_asked_for_and_nothing_is_written_by_default(
    capsys: pytest.CaptureFixture[str],
) -> None:
    api = Api().on(
        "POST", PATH, page(found("p1"), following="next"), page(found("p2", lacking=["1"])), page()
    )
    assert api.run("rebuild-index", "s/one", "s/two") == Code.WELL
    assert [api.said(number) for number in range(3)] == [
        {"subscription": "s", "resource_group": group, "apply": False} for group in ("one", "one", "two")
    ]
    assert [request.url.params.get("continuation") for request in api.asked] == [None, "next", None]
    said = capsys.readouterr()
    assert "nothing was found of 1" in said.out
    assert "2 create. Nothing was written." in said.err


def test_what_was_skipped_ends_with_4_where_it_was_meant(capsys: pytest.CaptureFixture[str]) -> None:
    odd = found("p1", "skip", vm=None, policy=None, grade=None, created_at=None, why="no tag says whose")
    wish = ("--yes", "--hold-until", "2099-01-01T00:00:00Z", "-o", "json")
    api = Api().on("POST", PATH, page(odd))
    assert api.run("rebuild-index", "s/one", *wish) == Code.WARNED
    assert api.said() == {
        "subscription": "s",
        "resource_group": "one",
        "apply": True,
        "hold_until": "2099-01-01T00:00:00Z",
    }
    assert json.loads(capsys.readouterr().out)["items"] == [odd]


@pytest.mark.parametrize("group", ["one", "/one", "s/", "s/one/two"])
def test_a_group_without_its_subscription_is_wrong_usage(group: str) -> None:
    api = Api()
    assert api.run("rebuild-index", group) == Code.UNEXPECTED
    assert api.asked == []
