"""Where the API is and with which keys: by options, else the environment, else a profile."""

import os
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cli.errors import BadUsage

#: The rights of the API (docs/api.md); there may be a key for each.
RIGHTS = ("read", "run", "admin")
_KNOWN = ("url", "key", "output", *(f"key_{right}" for right in RIGHTS))
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Output(StrEnum):
    """How results are written."""

    TABLE = "table"
    JSON = "json"
    """Exactly what the API answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What a command needs to call the API. ``keys`` are by right; ``key`` opens what has none of its own."""

    url: str
    output: Output
    key: str = field(default="", repr=False)
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    warnings: tuple[str, ...] = ()

    def key_for(self, right: str) -> str:
        """Give the key for a right; empty where there is none."""
        return self.keys.get(right) or self.key


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What the command line itself says; empty where it says nothing."""

    url: str = ""
    key: str = ""
    profile: str = ""
    output: Output | None = None


def config_file(environment: Mapping[str, str]) -> Path:
    """Give the path of the configuration, which need not be there."""
    base = environment.get("XDG_CONFIG_HOME") or ""
    folder = Path(base) if base else Path(environment.get("HOME") or Path.home()) / ".config"
    return folder / "stillframe" / "config.toml"


def read_config(given: Given, environment: Mapping[str, str]) -> Config:
    """Put the configuration together.

    Raises:
        BadUsage: there is no URL, or the configuration is wrong.
    """
    path = config_file(environment)
    profile, warnings = _profile(path, given.profile or environment.get("STILLFRAME_PROFILE", ""))
    if given.key:
        keys: dict[str, str] = {}
    else:
        keys = {
            right: environment.get(f"STILLFRAME_KEY_{right.upper()}") or profile.get(f"key_{right}", "")
            for right in RIGHTS
        }
    url = given.url or environment.get("STILLFRAME_URL", "") or profile.get("url", "")
    return Config(
        url=_checked(url, path),
        key=given.key or environment.get("STILLFRAME_KEY", "") or profile.get("key", ""),
        keys=keys,
        output=given.output or _output(environment.get("STILLFRAME_OUTPUT") or profile.get("output", "")),
        warnings=warnings,
    )


def _checked(url: str, path: Path) -> str:
    if not url:
        hint = f"Say it with --url, with STILLFRAME_URL, or as url of a profile in {path}."
        raise BadUsage("It is not known where the app is.", hint=hint)
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadUsage(f"{url} is no URL of an app: expected one like https://backups.azurewebsites.net")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise BadUsage(f"{url}: a key would be sent in the clear", hint="Use https.")
    return url.rstrip("/").removesuffix("/api")


def _output(text: str) -> Output:
    try:
        return Output(text or Output.TABLE.value)
    except ValueError:
        raise BadUsage(f"output {text}: expected table or json") from None


def _profile(path: Path, wanted: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """Read a profile: the one that is asked for, else the default one, else the only one."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = tomllib.load(file)
    except FileNotFoundError:
        if wanted:
            raise BadUsage(f"there is no profile {wanted}: {path} does not exist") from None
        return {}, ()
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadUsage(f"{path}: {error}") from None
    profiles = data.get("profiles", {})
    if not isinstance(profiles, dict) or not all(isinstance(each, dict) for each in profiles.values()):
        raise BadUsage(f"{path}: expected tables [profiles.NAME]")
    name = wanted or data.get("default", "") or (next(iter(profiles)) if len(profiles) == 1 else "")
    if not name:
        return {}, ()
    if name not in profiles:
        raise BadUsage(f"{path}: there is no profile {name}; known: {', '.join(profiles) or 'none'}")
    profile = _texts(path, name, profiles[name])
    readable = os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO)
    has_key = any(member.startswith("key") for member in profile)
    warnings = (f"{path} holds keys, and others may read it: chmod 600 it",) if readable and has_key else ()
    return profile, warnings


def _texts(path: Path, name: str, members: Mapping[str, Any]) -> dict[str, str]:
    for member, value in members.items():
        if member not in _KNOWN:
            raise BadUsage(f"{path}: profile {name}: {member}: unknown; known: {', '.join(_KNOWN)}")
        if not isinstance(value, str):
            raise BadUsage(f"{path}: profile {name}: {member}: expected a text")
    return dict(members)
