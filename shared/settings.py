"""What the app is told by its application settings (environment variables)."""

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
    ``client_id`` names a user-assigned identity, if the app has one.
    """

    master_key: bytes
    arm_endpoint: str
    client_id: str

    def __repr__(self) -> str:
        """Keep the secrets out of logs."""
        return f"Settings(arm_endpoint={self.arm_endpoint!r})"


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Read the settings.

    Raises:
        SettingError: names the setting that is missing or wrong.
    """
    return Settings(
        master_key=_key(environment),
        arm_endpoint=environment.get("STILLFRAME_ARM_ENDPOINT", PUBLIC_ARM).rstrip("/"),
        client_id=environment.get("AZURE_CLIENT_ID", ""),
    )


def _key(environment: Mapping[str, str]) -> bytes:
    try:
        key = bytes.fromhex(environment.get("STILLFRAME_MASTER_KEY", ""))
    except ValueError:
        key = b""
    if len(key) < 32:
        raise SettingError("STILLFRAME_MASTER_KEY", "at least 32 bytes as hex digits")
    return key
