"""The file in which a guest's administrator settles what no command can change."""

import os
from pathlib import Path

import pytest

from agent import guest_config
from agent.config import BadSetting


def written(tmp_path: Path, text: str, mode: int = 0o600) -> dict[str, str]:
    path = tmp_path / "agent.conf"
    path.write_text(text)
    path.chmod(mode)
    return {guest_config.SETTING: str(path)}


def test_a_guest_without_the_file_has_the_defaults(tmp_path: Path) -> None:
    assert guest_config.load({guest_config.SETTING: str(tmp_path / "none")}) == {}
    assert guest_config.path_of({}) == "/etc/stillframe/agent.conf"


def test_sections_and_their_options_are_texts_without_interpolation(tmp_path: Path) -> None:
    environ = written(tmp_path, "[postgresql]\nuser = postgres\nsocket = /run/%h\n[scripts]\nfolders=/opt\n")
    assert guest_config.load(environ) == {
        "postgresql": {"user": "postgres", "socket": "/run/%h"},
        "scripts": {"folders": "/opt"},
    }


@pytest.mark.parametrize("text", ["user = x\n", "[a]\n[a]\n", "[a]\nnonsense\n", "\0"])
def test_what_is_no_ini_file_is_named_with_the_reason(tmp_path: Path, text: str) -> None:
    environ = written(tmp_path, text)
    with pytest.raises(BadSetting) as caught:
        guest_config.load(environ)
    assert caught.value.name == environ[guest_config.SETTING]


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(BadSetting, match="nobody else may write"):
        guest_config.load(written(tmp_path, "[scripts]\n", mode))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    environ = written(tmp_path, "[scripts]\n")
    os.chown(environ[guest_config.SETTING], 12345, 12345)
    with pytest.raises(BadSetting, match="file of root"):
        guest_config.load(environ)
