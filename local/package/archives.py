"""Archives whose bytes follow from their members alone: no time, no user, no order of a folder is in them."""

import gzip
import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

#: The earliest time that a zip file can tell.
_EPOCH = (1980, 1, 1, 0, 0, 0)
_FILE, _PROGRAM = 0o644, 0o755
_PROGRAMS = (".sh", ".pyz")


def write_zip(target: Path, members: Mapping[str, bytes]) -> Path:
    """Write a zip file; nothing is compressed, so that no compressor's version shows."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(members):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system = 3  # Unix, wherever it is made
            entry.external_attr = _mode(name) << 16
            archive.writestr(entry, members[name])
    return target


def write_tar_gz(target: Path, members: Mapping[str, bytes]) -> Path:
    """Write a compressed tar file; the same bytes wherever zlib is the same."""
    with (
        target.open("wb") as file,
        gzip.GzipFile("", "wb", 9, file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for name in sorted(members):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(members[name]), _mode(name)
            archive.addfile(entry, io.BytesIO(members[name]))
    return target


def _mode(name: str) -> int:
    return _PROGRAM if name.endswith(_PROGRAMS) else _FILE
