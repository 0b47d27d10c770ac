"""Installs agent.pyz from a URL, if it has the pinned SHA-256. Guests run it, by Python 3.6 and newer.

Parameters come in the environment; the agent's path is the only argument. The URL may be a secret
and is never repeated.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import urllib.request
from typing import Dict, Tuple

#: No agent is larger (bytes).
_LARGEST = 32 * 1024 * 1024
_TIMEOUT_S = 30


def main(agent: str, environ: Dict[str, str]) -> None:
    url, wanted = environ.pop("STILLFRAME_PACKAGE_URL"), environ.pop("STILLFRAME_PACKAGE_SHA256")
    upgrade = environ.pop("STILLFRAME_PACKAGE_UPGRADE", "")
    environ.pop("STILLFRAME_BOOTSTRAP", None)  # for one session: nothing to enrol
    if os.path.exists(agent) and (not upgrade or digest(read(agent)) == wanted):
        return
    with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:
        package = answer.read(_LARGEST)
    if digest(package) != wanted:
        raise ValueError("the package has not the SHA-256 that is pinned")
    with tempfile.TemporaryDirectory() as folder:
        fresh = os.path.join(folder, "agent.pyz")
        with open(fresh, "wb") as file:
            file.write(package)
        if os.path.exists(agent) and version(agent) > version(fresh):
            return
        if os.name == "nt":
            subprocess.run([sys.executable, fresh, "place", os.path.dirname(agent)], env=environ, check=True)
            return
        installer = subprocess.check_output([sys.executable, fresh, "installer"])
        subprocess.run(["/bin/sh", "-s", "install", fresh], input=installer, env=environ, check=True)


def read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def version(path: str) -> Tuple[int, ...]:
    told = subprocess.check_output([sys.executable, path, "--version"])
    return tuple(int(number) for number in told.split(b"."))


try:
    main(sys.argv[1], dict(os.environ))
except (OSError, ValueError, subprocess.CalledProcessError) as error:
    detail = str(error) if isinstance(error, ValueError) else type(error).__name__
    print("stillframe: the agent was not installed: {}".format(detail), file=sys.stderr)
