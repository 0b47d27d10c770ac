"""`python -m local.package [--windows-python ZIP --windows-python-sha256 HEX] [--into FOLDER]`."""

import argparse
import hashlib
import sys
from pathlib import Path

from local.package import app, guests
from shared.version import VERSION


def main(arguments: list[str]) -> int:
    """Write all packages and their SHA-256; returns the exit code."""
    options = _parse(arguments)
    folder: Path = options.into
    folder.mkdir(parents=True, exist_ok=True)
    program = guests.agent()
    name = f"stillframe-agent-{VERSION}"
    single = folder / f"{name}.pyz"
    single.write_bytes(program)
    try:
        made = [
            app.write(folder / f"stillframe-app-{VERSION}.zip"),
            single,
            guests.write_linux(folder / f"{name}-linux.tar.gz", program),
        ]
        windows = folder / f"{name}-windows.zip"
        if options.windows_python:
            python = guests.WindowsPython(options.windows_python, options.windows_python_sha256)
            made.append(guests.write_windows(windows, program, python))
        else:
            windows.unlink(missing_ok=True)  # of another build: it would not belong to the others
            print("no package for Windows: name python.org's embeddable package (docs/guests.md)")
    except (app.UnknownPatternError, guests.WrongPythonError, OSError) as error:
        print(f"make package: {error}", file=sys.stderr)
        return 1
    sums = "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in made)
    (folder / "SHA256SUMS").write_text(sums)
    print(sums, end="")
    return 0


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make package", description="Build what is shipped.")
    parser.add_argument("--into", type=Path, default=app.ROOT / ".build", metavar="FOLDER")
    parser.add_argument("--windows-python", type=Path, metavar="ZIP")
    parser.add_argument("--windows-python-sha256", default="", metavar="HEX")
    options = parser.parse_args(arguments)
    if bool(options.windows_python) != bool(options.windows_python_sha256):
        parser.error("--windows-python and --windows-python-sha256 belong together")
    return options


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
