"""Access keys of HTTP functions, and who may call what.

The rules of AuthenticationLevelHandler: the header `x-functions-key` wins over the query's `code`; the master
key opens everything, a host key every function of level "function", a function's key that function.
"""

import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from local.functions_host.settings import SettingsError

HEADER = "x-functions-key"
QUERY = "code"


@dataclass(frozen=True)
class Keys:
    """The keys of one app; names of keys do not matter to the check."""

    master: str
    host: Mapping[str, str] = field(default_factory=dict)
    functions: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def text(self) -> str:
        """Write them as the setting STILLFRAME_HOST_KEYS takes them."""
        return json.dumps({"master": self.master, "host": self.host, "functions": self.functions})

    def allow_admin(self, presented: str | None) -> bool:
        """Is it the master key?"""
        return _is(presented, self.master)

    def allow_function(self, function: str, level: str, presented: str | None) -> bool:
        """May a bearer of this key call a function of the level anonymous, function or admin?"""
        if level == "anonymous" or self.allow_admin(presented):
            return True
        fitting = [*self.host.values(), *self.functions.get(function, {}).values()]
        return level == "function" and any(_is(presented, key) for key in fitting)


def load_keys(path: Path, environment: Mapping[str, str]) -> Keys:
    """Read the keys from the setting STILLFRAME_HOST_KEYS (JSON), else from the file, made if missing.

    The JSON is {"master": key, "host": {name: key}, "functions": {function: {name: key}}}. Raises
    SettingsError.
    """
    text = environment.get("STILLFRAME_HOST_KEYS")
    if text is not None:
        return _parse("STILLFRAME_HOST_KEYS", text)
    if not path.exists():
        _create(path)
    return _parse(str(path), path.read_text())


def _create(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    new = {
        "master": secrets.token_urlsafe(32),
        "host": {"default": secrets.token_urlsafe(32)},
        "functions": {},
    }
    path.write_text(json.dumps(new, indent=2) + "\n")


def _parse(where: str, text: str) -> Keys:
    try:
        content = json.loads(text)
        return Keys(str(content["master"]), dict(content.get("host", {})), dict(content.get("functions", {})))
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(where, f"is no set of keys: {error}") from None


def _is(presented: str | None, key: str) -> bool:
    return presented is not None and hmac.compare_digest(presented.encode(), key.encode())
