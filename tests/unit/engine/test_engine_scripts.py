"""Long scripts lie in the guests' storage from before their run starts; the saga keeps their pins."""

import hashlib
from typing import Any

from shared.policy.script_fields import LARGEST_INLINE
from tests.unit.engine.house import SCRIPTS, VM, House

LONG = "#!/bin/sh\n" + "#" * LARGEST_INLINE
SHORT = "#!/bin/sh\n"


async def quiesce_of(guest: dict[str, Any]) -> tuple[House, dict[str, Any]]:
    house = House()
    await house.ask(VM, **guest)
    await house.settle()
    body = next(command.body for command in house.guest().commands if command.kind == "quiesce")
    return house, body


async def test_a_long_script_is_stored_under_its_pin_and_read_by_url() -> None:
    house, body = await quiesce_of({"pre_script": {"content": LONG}, "post_script": {"content": SHORT}})

    pin = hashlib.sha256(LONG.encode()).hexdigest()
    assert house.scripts.content == {pin: LONG}
    assert body["pre_script"]["sha256"] == pin
    assert pin in body["pre_script"]["url"]
    assert "content" not in body["pre_script"]
    assert body["post_script"]["content"] == SHORT


async def test_the_scripts_of_layers_are_stored_too() -> None:
    guest = {**SCRIPTS, "linux": {"pre_script": {"content": LONG}}}

    house, body = await quiesce_of(guest)

    assert list(house.scripts.content.values()) == [LONG]
    assert "url" in body["pre_script"]
