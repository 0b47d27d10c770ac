"""The receiver of `make up` takes what the app signed, and nothing else."""

import secrets
import time
from pathlib import Path

import aiohttp
import pytest

from local.stack.receiver import TOLERANCE_S, is_genuine, receiving
from shared.delivery.signing import signed_headers

KEY = secrets.token_bytes(32)
BODY = b'{"id": "e-1", "type": "stillframe.run.failed", "subject": "runs/r-1"}'


async def post(url: str, body: bytes, headers: dict[str, str]) -> int:
    async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=headers) as answer:
        return answer.status


async def test_a_notice_that_the_app_signed_is_written_down_and_one_that_was_changed_is_not(
    tmp_path: Path,
) -> None:
    written = tmp_path / "notices.jsonl"
    headers = signed_headers([KEY], "e-1", time.time_ns() // 1_000_000, BODY)
    async with receiving(KEY, written) as url:
        assert await post(url, BODY, headers) == 204
        assert await post(url, BODY.replace(b"failed", b"succeeded"), headers) == 401
        assert await post(url, BODY, {}) == 401

    assert written.read_bytes() == BODY + b"\n"


@pytest.mark.parametrize("age_s", [TOLERANCE_S + 1, -TOLERANCE_S - 1])
def test_a_signature_that_is_too_old_or_of_tomorrow_counts_for_nothing(age_s: int) -> None:
    now = 1_700_000_000
    headers = signed_headers([KEY], "e-1", (now - age_s) * 1_000, BODY)

    assert not is_genuine(BODY, headers, KEY, now)
    assert is_genuine(BODY, headers, KEY, now - age_s)
