"""Receipts: what the clients of an application know to be committed, on a disk of their own.

For each client the number of the last transfer that was acknowledged to it. A receipt may reach the disk
late, never early: so whatever a copy's receipts name must be in the copy's books.
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING
from zlib import crc32

if TYPE_CHECKING:
    from pathlib import Path

NAME = "receipts.dat"

_RECEIPT = struct.Struct("<Q")  # little-endian, followed by its CRC
_CHECKSUM = struct.Struct("<I")
_SLOT = 16  # bytes per client


class ReceiptsUnreadableError(Exception):
    """The receipts file cannot be read; `reason` is the system's."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the receipts file cannot be read: {reason}")
        self.reason = reason


class ReceiptsFile:
    """The receipts, open for writing. Each client writes its own slot."""

    NAME = NAME

    def __init__(self, folder: Path, clients: int, *, at_once: bool = False) -> None:
        """Open the receipts for `clients` clients; those of an earlier life are gone.

        `at_once`: each receipt is on the disk when `write` returns.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | (os.O_DSYNC if at_once else 0)
        self._fd = os.open(folder / NAME, flags, 0o600)
        os.ftruncate(self._fd, clients * _SLOT)
        os.fsync(self._fd)
        flush_folder(folder)

    def write(self, client: int, number: int) -> None:
        """Note that transfer `number` was acknowledged to this client."""
        packed = _RECEIPT.pack(number)
        os.pwrite(self._fd, packed + _CHECKSUM.pack(crc32(packed)), client * _SLOT)

    def flush(self) -> None:
        """Bring to the disk whatever is not there yet."""
        os.fdatasync(self._fd)


def receipts_in(folder: Path) -> dict[int, int]:
    """Read a copy's receipts: client -> number of the last transfer acknowledged to it.

    Raises ReceiptsUnreadableError.
    """
    try:
        data = (folder / NAME).read_bytes()
    except OSError as error:
        raise ReceiptsUnreadableError(str(error.strerror)) from error
    found = {}
    for client, at in enumerate(range(0, len(data) - _SLOT + 1, _SLOT)):
        packed = data[at : at + _RECEIPT.size]
        # A slot never used is all zeros, whose CRC does not match; nor does one that was just being written.
        if crc32(packed) == _CHECKSUM.unpack_from(data, at + _RECEIPT.size)[0]:
            found[client] = _RECEIPT.unpack(packed)[0]
    return found


def flush_folder(folder: Path) -> None:
    """Bring a folder's own entries to its disk."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
