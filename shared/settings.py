"""What the app is told by its application settings (environment variables)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

PUBLIC_ARM = "https://management.azure.com"


class SettingError(Exception):
    """An application setting is missing or wrong: ``name`` says which, ``expected`` what would be right."""

    def __init__(self, name: str, expected: str) -> None:
        super().__init__(f"application setting {name}: expected {expected}")
        self.name = name
        self.expected = expected


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of the app but its storage connections, which ``shared/storage/connection.py`` reads.

    ``master_key`` is what every session key derives from; in Azure a Key Vault reference.
    ``client_id`` names a user-assigned identity, if the app has one. ``key_version`` is raised to rotate the
    VMs' keys. ``agent_url`` is where guests get ``agent.pyz`` from, if run commands may install it; they
    refuse what does not have ``agent_sha256``. ``event_source`` says in notices which app they are from.
    ``keep_runs_days`` is how long housekeeping keeps what no recovery point needs. While the app is to
    ``drain`` no new run begins.
    """

    master_key: bytes
    arm_endpoint: str
    client_id: str
    key_version: int = 1
    agent_url: str = ""
    agent_sha256: str = ""
    event_source: str = "/api"
    keep_runs_days: int = 400
    drain: bool = False

    def __repr__(self) -> str:
        """Keep the secrets out of logs."""
        return f"Settings(arm_endpoint={self.arm_endpoint!r})"


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Read the settings.

    Raises:
        SettingError: names the setting that is missing or wrong.
    """
    agent_url, agent_sha256 = _package(environment)
    return Settings(
        master_key=_key(environment),
        arm_endpoint=environment.get("STILLFRAME_ARM_ENDPOINT", PUBLIC_ARM).rstrip("/"),
        client_id=environment.get("AZURE_CLIENT_ID", ""),
        key_version=_version(environment),
        agent_url=agent_url,
        agent_sha256=agent_sha256,
        event_source=_source(environment),
        keep_runs_days=_days(environment),
        drain=_drain(environment),
    )


def _source(environment: Mapping[str, str]) -> str:
    """Give the app's own address; Azure Functions says which it is (Azure App Service: WEBSITE_HOSTNAME)."""
    host = environment.get("WEBSITE_HOSTNAME", "")
    local = not host or re.match(r"localhost\b|127\.|0\.0\.0\.0", host)
    return "/api" if local else f"https://{host}/api"


def _key(environment: Mapping[str, str]) -> bytes:
    try:
        key = bytes.fromhex(environment.get("STILLFRAME_MASTER_KEY", ""))
    except ValueError:
        key = b""
    if len(key) < 32:
        raise SettingError("STILLFRAME_MASTER_KEY", "at least 32 bytes as hex digits")
    return key


def _version(environment: Mapping[str, str]) -> int:
    text = environment.get("STILLFRAME_KEY_VERSION", "1")
    if not text.isdecimal() or not 1 <= int(text) <= 1_000_000:
        raise SettingError("STILLFRAME_KEY_VERSION", "a whole number from 1 to 1000000")
    return int(text)


def _days(environment: Mapping[str, str]) -> int:
    """Read how long runs are kept: longer than any saga takes, and than any message lies hidden."""
    text = environment.get("STILLFRAME_KEEP_RUNS_DAYS", "") or "400"
    if not text.isdecimal() or not 31 <= int(text) <= 36_500:
        raise SettingError("STILLFRAME_KEEP_RUNS_DAYS", "a whole number of days from 31 to 36500")
    return int(text)


def _drain(environment: Mapping[str, str]) -> bool:
    text = environment.get("STILLFRAME_DRAIN", "").lower()
    if text not in ("", "true", "false"):
        raise SettingError("STILLFRAME_DRAIN", "true or false")
    return text == "true"


def _package(environment: Mapping[str, str]) -> tuple[str, str]:
    url, sha256 = environment.get("STILLFRAME_AGENT_URL", ""), environment.get("STILLFRAME_AGENT_SHA256", "")
    if url and not re.fullmatch(r"https://[!-~]+|http://127\.0\.0\.1:[!-~]+", url):
        raise SettingError("STILLFRAME_AGENT_URL", "an https URL")
    if url and not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise SettingError("STILLFRAME_AGENT_SHA256", "the file's SHA-256, 64 small hex digits")
    return url, sha256
