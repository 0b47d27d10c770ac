"""Scripts that are too long for a command: blobs beside the guests' queues, each under its pin.

A blob is named by the SHA-256 of its content, so that storing one twice changes nothing, and that whoever can
write to the account can at most keep a script from being run: the agent checks the pin of the signed command.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from shared.storage.clients import PerLoop, TransportFactory, blob_service
from shared.storage.connection import Connection
from shared.storage.sas import BlobSigner

CONTAINER = "stillframe-scripts"


@dataclass(frozen=True, slots=True)
class StoredScript:
    """A script that lies in the store since ``stored_at`` (ms since the epoch): each run stores it again."""

    pin: str
    stored_at: int
    etag: str


class ScriptStore(Protocol):
    """See ``GuestScripts``, and ``memory.MemoryScripts``."""

    async def put(self, pin: str, content: str) -> None:
        """Store a script."""

    async def url(self, pin: str, valid_ms: int) -> str:
        """Give a URL by which it can be read."""


class GuestScripts:
    """The scripts in the guests' storage account. ``clock`` gives ms since the epoch."""

    def __init__(
        self, connection: Connection, clock: Callable[[], int], *, transport: TransportFactory | None = None
    ) -> None:
        self._service = PerLoop(lambda: blob_service(connection, transport))
        self._signer = BlobSigner(connection, clock, transport=transport)

    async def put(self, pin: str, content: str) -> None:
        """Store a script under its pin (SHA-256 of its UTF-8, hex)."""
        from azure.core.exceptions import (  # noqa: PLC0415 - see clients.py
            ResourceExistsError,
            ResourceNotFoundError,
        )

        container = self._service.get().get_container_client(CONTAINER)
        try:
            await container.upload_blob(pin, content.encode(), overwrite=True)
        except ResourceNotFoundError:  # the first script ever
            with contextlib.suppress(ResourceExistsError):  # another instance was first
                await container.create_container()
            await container.upload_blob(pin, content.encode(), overwrite=True)

    async def url(self, pin: str, valid_ms: int) -> str:
        """Give a URL by which the script can be read for ``valid_ms``, at most 7 days; it is a secret."""
        return await self._signer.url(CONTAINER, pin, valid_ms)

    async def listed(self, marker: str = "") -> tuple[list[StoredScript], str]:
        """The next scripts, and where to go on; empty at the end."""
        from azure.core.exceptions import ResourceNotFoundError  # noqa: PLC0415 - see clients.py

        pages = self._service.get().get_container_client(CONTAINER).list_blobs().by_page(marker or None)
        try:
            async for page in pages:
                found = [
                    StoredScript(each.name, int(each.last_modified.timestamp() * 1000), str(each.etag))
                    async for each in page
                ]
                return found, str(getattr(pages, "continuation_token", None) or "")
        except ResourceNotFoundError:  # there never was a script
            pass
        return [], ""

    async def delete(self, script: StoredScript) -> bool:
        """Delete a script, if it is still as it was listed; say whether it was."""
        from azure.core import MatchConditions  # noqa: PLC0415 - see clients.py
        from azure.core.exceptions import (  # noqa: PLC0415 - see clients.py
            ResourceModifiedError,
            ResourceNotFoundError,
        )

        container = self._service.get().get_container_client(CONTAINER)
        try:
            await container.delete_blob(
                script.pin, etag=script.etag, match_condition=MatchConditions.IfNotModified
            )
        except (ResourceNotFoundError, ResourceModifiedError):
            return False
        return True

    async def close(self) -> None:
        """Close the running loop's clients."""
        await self._service.close()
        await self._signer.close()
