"""The stack of the end-to-end tests: one per module, for tests that leave it as they found it."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from local.arm.contract import violations
from local.azurite import AzuriteUnavailableError
from local.stack.stack import Stack, StackOptions, real_disks, running
from tests.templates.rights import needs, roles


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(request: pytest.FixtureRequest) -> AsyncIterator[Stack]:
    """A running stack as the module's OPTIONS want it."""
    options: StackOptions = getattr(request.module, "OPTIONS", StackOptions())
    try:
        starting = running(options)
        started = await starting.__aenter__()
    except AzuriteUnavailableError as error:
        pytest.skip(str(error))
    try:
        yield started
        # What was asked of Azure, and what it answered, is what the models of the SDK allow.
        assert violations(started.world.journal.select()) == []
        if not getattr(
            request.module, "PEOPLE_ASK_TOO", False
        ):  # a person who restores has rights of their own
            asked = {need.action for need in needs(started.world.journal.select())}
            assert asked - set[str]().union(*roles().values()) == set(), "no role of the app gives it"
    finally:
        await starting.__aexit__(None, None, None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs real disks where there are none."""
    if real_disks():
        return
    for item in items:
        if item.get_closest_marker("world") and "/e2e/" in str(item.path):
            item.add_marker(pytest.mark.skip(reason="run by `make test` as root: needs loop devices and XFS"))
