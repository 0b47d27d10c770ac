"""The HTTP function that rebuilds records, called as the Functions host calls it."""

from typing import Any

import pytest

from shared.compute.errors import Denied
from tests.unit.engine.house import House
from tests.unit.engine.test_engine_rebuilding import SCOPE, all_points, lose, with_points
from tests.unit.triggers.contract import faults
from tests.unit.triggers.test_triggers_recovery_points import call

BODY = {"subscription": SCOPE.subscription_id, "resource_group": SCOPE.resource_group}


async def test_pages_are_followed_by_their_continuation_and_nothing_is_written_unless_asked() -> None:
    house, [before] = await with_points(1)
    lose(house, "points", "sagas")
    assert faults("Rebuild", BODY) == []
    for apply in (False, True):
        pages = 0
        params: dict[str, str] = {}
        while True:
            status, page = await call(house, "rebuild_points", BODY | {"apply": apply}, params=params)
            assert status == 200
            assert faults("Rebuilt", page) == []
            assert page["applied"] is apply
            pages += 1
            if page["continuation"] is None:
                break
            params = {"continuation": page["continuation"]}
        assert pages == 2
        assert len(await all_points(house)) == int(apply)
    status, shown = await call(house, "get_point", point=before.point_id)
    assert faults("WholeRecoveryPoint", shown) == []
    assert (shown["rebuilt"], shown["lacking"], shown["evidence"]) == (True, [], None)
    assert shown["hold"]["until"] is None


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"subscription": "mine"}, "subscription"),
        ({"subscription": None}, "subscription"),
        ({"resource_group": "../x"}, "resource_group"),
        ({"resource_group": "ends."}, "resource_group"),
        ({"apply": "yes"}, "apply"),
        ({"hold_until": "2020-01-01T00:00:00Z"}, "hold_until"),
        ({"hold_until": "soon"}, "hold_until"),
        ({"all": True}, "all"),
    ],
)
async def test_a_wrong_request_is_told_by_its_field(wrong: dict[str, Any], where: str) -> None:
    status, told = await call(House(), "rebuild_points", BODY | wrong)
    assert (status, told["field"]) == (400, where)


async def test_a_link_that_leads_elsewhere_is_refused_and_so_is_what_azure_refuses() -> None:
    house, _ = await with_points(1)
    away = {"continuation": "aHR0cHM6Ly9ldmlsLmV4YW1wbGUub3Jn"}
    assert (await call(house, "rebuild_points", BODY, params=away))[0] == 502
    house.compute.errors["list_kept"] = [Denied("AuthorizationFailed", "not here")]
    status, told = await call(house, "rebuild_points", BODY)
    assert status == 502
    assert "AuthorizationFailed" in told["detail"]
