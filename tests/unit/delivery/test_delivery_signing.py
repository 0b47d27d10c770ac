"""Signatures by Standard Webhooks, and the secrets that make them."""

import base64
import hashlib
import hmac

import pytest

from shared.delivery.signing import Secrets, UnusableSecret, signed_headers

SETTING = "STILLFRAME_WEBHOOK_SECRET_ON_CALL"
OLD, NEW = bytes(range(24)), bytes(range(64))


def written(key: bytes) -> str:
    return "whsec_" + base64.b64encode(key).decode()


def test_the_specifications_own_example_comes_out() -> None:
    keys = Secrets({SETTING: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}).keys("on_call")
    headers = signed_headers(keys, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330_999, b'{"test": 2432232314}')
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_while_a_secret_is_changed_both_sign() -> None:
    keys = Secrets({SETTING: f"{written(OLD)} {written(NEW)}"}).keys("on_call")
    signatures = signed_headers(keys, "a1", 5_000, b"body")["webhook-signature"].split(" ")
    for signature, key in zip(signatures, (OLD, NEW), strict=True):
        version, _, text = signature.partition(",")
        assert version == "v1"
        assert base64.b64decode(text) == hmac.new(key, b"a1.5.body", hashlib.sha256).digest()


@pytest.mark.parametrize(
    "value",
    [
        "",
        "   ",
        "whsec_",
        "whsec_????",
        base64.b64encode(NEW).decode(),
        written(bytes(23)),
        written(bytes(65)),
        " ".join([written(OLD)] * 3),
        f"{written(OLD)} nonsense",
        "@Microsoft.KeyVault(SecretUri=https://v.invalid/s)",
        "whsec_ä",
    ],
)
def test_what_is_no_secret_is_refused_by_its_setting_and_never_quoted(value: str) -> None:
    with pytest.raises(UnusableSecret) as caught:
        Secrets({SETTING: value}).keys("on_call")
    assert (caught.value.setting, caught.value.name) == (SETTING, "on_call")
    assert not value.strip() or value not in str(caught.value).replace("whsec_ and", "")


def test_a_missing_secret_is_refused_and_none_is_shown() -> None:
    secrets = Secrets({SETTING: written(NEW)})
    with pytest.raises(UnusableSecret):
        secrets.keys("another")
    assert repr(secrets) == "Secrets()"
