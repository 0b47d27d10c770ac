"""The application settings."""

import pytest

from shared.settings import PUBLIC_ARM, SettingError, read_settings

KEY = "00" * 31 + "ff"
GOOD = {"STILLFRAME_MASTER_KEY": KEY}


def test_the_master_key_alone_will_do() -> None:
    settings = read_settings(GOOD)
    assert (settings.master_key, settings.arm_endpoint, settings.client_id) == (
        bytes(31) + b"\xff",
        PUBLIC_ARM,
        "",
    )


def test_all_settings_are_read() -> None:
    more = {"STILLFRAME_ARM_ENDPOINT": "http://127.0.0.1:1/", "AZURE_CLIENT_ID": "c", "OTHER": "x"}
    settings = read_settings(GOOD | more)
    assert (settings.arm_endpoint, settings.client_id) == ("http://127.0.0.1:1", "c")


@pytest.mark.parametrize(
    "key",
    ["", "00" * 31, "zz" * 32, "0" * 63, "@Microsoft.KeyVault(SecretUri=https://v.invalid/s)", "ä" * 64],
)
def test_a_master_key_that_is_none_is_refused_by_name_and_not_shown(key: str) -> None:
    with pytest.raises(SettingError) as caught:
        read_settings({"STILLFRAME_MASTER_KEY": key})
    assert caught.value.name == "STILLFRAME_MASTER_KEY"
    assert not key or key not in str(caught.value)


def test_a_missing_master_key_is_refused_by_name() -> None:
    with pytest.raises(SettingError) as caught:
        read_settings({})
    assert caught.value.name == "STILLFRAME_MASTER_KEY"


def test_settings_do_not_show_their_secrets() -> None:
    settings = read_settings(GOOD)
    for shown in (repr(settings), str(settings), f"{settings}"):
        assert KEY not in shown
        assert "xff" not in shown


@pytest.mark.parametrize("version", ["0", "-1", "two", "1.5"])
def test_a_key_version_is_a_whole_number(version: str) -> None:
    with pytest.raises(SettingError) as refused:
        read_settings({**GOOD, "STILLFRAME_KEY_VERSION": version})

    assert refused.value.name == "STILLFRAME_KEY_VERSION"


@pytest.mark.parametrize(
    ("url", "sha256", "name"),
    [
        ("http://example.org/agent.pyz", "0" * 64, "STILLFRAME_AGENT_URL"),
        ("https://example.org/a b", "0" * 64, "STILLFRAME_AGENT_URL"),
        ("https://example.org/agent.pyz", "", "STILLFRAME_AGENT_SHA256"),
        ("https://example.org/agent.pyz", "G" * 64, "STILLFRAME_AGENT_SHA256"),
    ],
)
def test_a_package_without_a_pin_or_over_plain_http_is_refused(url: str, sha256: str, name: str) -> None:
    with pytest.raises(SettingError) as refused:
        read_settings({**GOOD, "STILLFRAME_AGENT_URL": url, "STILLFRAME_AGENT_SHA256": sha256})

    assert refused.value.name == name
