"""Signatures of webhooks by the rules of Standard Webhooks 1.0.0 (github.com/standard-webhooks)."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence

from shared.policy.notifications import secret_setting

_PREFIX = "whsec_"
#: Bytes of a secret, by the specification.
LEAST_BYTES, MOST_BYTES = 24, 64
#: While a secret is changed there is an old and a new one.
_MOST_SECRETS = 2


class UnusableSecret(Exception):
    """The application setting of a secret is missing, or is none; the text never quotes it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.setting = secret_setting(name)
        self.expected = (
            f"whsec_ and {LEAST_BYTES} to {MOST_BYTES} bytes as base64, or two of these with a space between"
        )
        super().__init__(f"application setting {self.setting}: expected {self.expected}")


class Secrets:
    """The secrets of webhooks, out of the application settings. They are read when they are used."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def __repr__(self) -> str:
        """Keep the secrets out of logs."""
        return "Secrets()"

    def keys(self, name: str) -> tuple[bytes, ...]:
        """Give the keys of the secret ``name``: one, or the old and the new one.

        Raises:
            UnusableSecret: there is no such setting, or it is no secret.
        """
        parts = self._environment.get(secret_setting(name), "").split()
        if not 1 <= len(parts) <= _MOST_SECRETS:
            raise UnusableSecret(name)
        return tuple(_key(name, part) for part in parts)


def _key(name: str, text: str) -> bytes:
    if not text.startswith(_PREFIX):
        raise UnusableSecret(name)
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise UnusableSecret(name) from None
    if not LEAST_BYTES <= len(key) <= MOST_BYTES:
        raise UnusableSecret(name)
    return key


def signed_headers(keys: Sequence[bytes], notice_id: str, at: int, body: bytes) -> dict[str, str]:
    """Give the three headers of a signed webhook.

    ``at`` is the time of this attempt, in ms since the epoch; ``notice_id`` is the same in every attempt.
    """
    assert "." not in notice_id, "it separates the parts of what is signed"
    seconds = str(at // 1000)
    signed = b".".join((notice_id.encode(), seconds.encode(), body))
    signatures = (base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode() for key in keys)
    return {
        "webhook-id": notice_id,
        "webhook-timestamp": seconds,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
