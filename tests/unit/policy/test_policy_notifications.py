"""Notifications of a policy: what is read, and what is refused by the name of its field."""

from typing import Any

import pytest

from shared.policy.documents import read_policy, read_run
from shared.policy.fields import DocumentError
from shared.policy.notifications import BY_DEFAULT, NoticeKind, NoticePer, Notification, Webhook
from shared.saga.codec import decode, encode

GROUP = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/app"
VM = f"{GROUP}/providers/Microsoft.Compute/virtualMachines/db-1"
HOOK = {"url": "https://hooks.example.org/backups?team=dba", "secret": "on_call"}


def read(*notifications: Any) -> tuple[Notification, ...]:
    return read_policy({"vms": [VM], "notifications": list(notifications)}).notifications


def test_a_webhook_is_told_per_run_of_all_but_success_by_default() -> None:
    assert read({"webhook": HOOK}) == (
        Notification(
            on=BY_DEFAULT, per=NoticePer.RUN, webhook=Webhook(url=HOOK["url"], secret="on_call"), queue=""
        ),
    )
    assert NoticeKind.SUCCESS not in BY_DEFAULT


def test_everything_that_can_be_said_is_read_and_kept_with_the_run() -> None:
    headers = {"X-Team": "dba", "X-Site": "west"}
    told = {"on": ["success", "overdue"], "per": "vm", "webhook": HOOK | {"headers": headers}}
    [one, other] = read(told, {"on": ["missed"], "queue": "backup-results"})
    assert (one.on, one.per) == ((NoticeKind.SUCCESS, NoticeKind.OVERDUE), NoticePer.VM)
    assert one.webhook is not None
    assert one.webhook.headers == (("X-Site", "west"), ("X-Team", "dba"))
    assert (other.queue, other.webhook) == ("backup-results", None)
    assert [decode(Notification, encode(each)) for each in (one, other)] == [one, other]


def test_a_run_of_named_vms_may_tell_somebody_and_one_of_a_policy_does_as_the_policy_says() -> None:
    assert (
        read_run({"vms": [VM], "notifications": [{"queue": "results"}]}).notifications[0].queue == "results"
    )
    with pytest.raises(DocumentError) as caught:
        read_run({"policy": "nightly", "notifications": []})
    assert caught.value.field == "notifications"


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.org",
        "https://hooks.example.org:8443/a/b?c=d&e=%20",
        "https://10.0.0.7/in-our-network",
        "https://[2001:db8::1]:444/",
        "http://127.0.0.1:9000/",
        "http://LOCALHOST:9000/",
        "http://[::1]/",
    ],
)
def test_urls_of_webhooks_are_https_ones_and_those_of_this_machine(url: str) -> None:
    assert read({"webhook": HOOK | {"url": url}})[0].webhook is not None


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://hooks.example.org/", "https"),
        ("http://127.0.0.1.example.org/", "https"),
        ("ftp://hooks.example.org/", "https"),
        ("hooks.example.org", "https"),
        ("https://", "https"),
        ("https:///path", "host"),
        ("https://user:word@hooks.example.org/", "no user"),
        ("https://@hooks.example.org/", "no user"),
        ("https://hooks.example.org/#part", "fragment"),
        ("https://hooks.example.org:0/", "port"),
        ("https://hooks.example.org:70000/", "port"),
        ("https://hooks.example.org:x/", "port"),
        ("https://hooks example.org/", "printable"),
        ("https://hööks.example.org/", "printable"),
        ("https://hooks.example.org/\r\nX: y", "printable"),
        ("https://2130706433/", "four decimal numbers"),
        ("https://0x7f.1/", "four decimal numbers"),
        ("https://0x7f000001/", "four decimal numbers"),
        ("https://0177.0.0.1/", "four decimal numbers"),
        ("https://hooks..example.org/", "host name"),
        ("https://[hooks]/", "host"),
        ("https://[v1.x]/", "host|IPv6"),
        ("https://" + "a" * 1_000, "1 to 1000 characters"),
    ],
)
def test_other_urls_are_refused(url: str, words: str) -> None:
    with pytest.raises(DocumentError, match=words) as caught:
        read({"webhook": HOOK | {"url": url}})
    assert caught.value.field == "notifications[0].webhook.url"


BAD: list[tuple[Any, str, str]] = [
    ({}, "", "only one of them"),
    ({"webhook": HOOK, "queue": "results"}, "", "only one of them"),
    ("hooks", "", "JSON object"),
    ({"webhok": HOOK}, ".webhok", "did you mean webhook"),
    ({"queue": "results", "on": []}, ".on", "at least one"),
    ({"queue": "results", "on": "failure"}, ".on", "list"),
    ({"queue": "results", "on": ["failed"]}, ".on[0]", "success, warning"),
    ({"queue": "results", "on": [["failure"]]}, ".on[0]", "success, warning"),
    ({"queue": "results", "on": ["failure", "failure"]}, ".on[1]", "twice"),
    ({"queue": "results", "on": ["missed"], "per": "vm"}, ".on", "per run"),
    ({"queue": "results", "per": "disk"}, ".per", "run, vm"),
    ({"queue": "ab"}, ".queue", "3 to 63"),
    ({"queue": "Results"}, ".queue", "small letters"),
    ({"queue": "re--sults"}, ".queue", "single hyphens"),
    ({"queue": "results-"}, ".queue", "single hyphens"),
    ({"queue": "r" * 64}, ".queue", "1 to 63"),
    ({"queue": "stillframe-steps"}, ".queue", "of your own"),
    ({"queue": "cmd-0123"}, ".queue", "of your own"),
    ({"queue": "azure-webjobs-host"}, ".queue", "of your own"),
    ({"webhook": {"url": HOOK["url"]}}, ".webhook.secret", "1 to 64"),
    ({"webhook": HOOK | {"secret": "whsec_AAAA+AAA="}}, ".webhook.secret", "STILLFRAME_WEBHOOK_SECRET_"),
    ({"webhook": HOOK | {"secret": "On Call"}}, ".webhook.secret", "small letters"),
    ({"webhook": HOOK | {"headers": {"X Team": "a"}}}, ".webhook.headers.X Team", "letters, digits"),
    ({"webhook": HOOK | {"headers": {"X-Team": "a\r\nb"}}}, ".webhook.headers.X-Team", "printable"),
    ({"webhook": HOOK | {"headers": {"X-Team": " a"}}}, ".webhook.headers.X-Team", "spaces"),
    ({"webhook": HOOK | {"headers": {"Host": "a"}}}, ".webhook.headers.Host", "set by"),
    ({"webhook": HOOK | {"headers": {"Webhook-Id": "a"}}}, ".webhook.headers.Webhook-Id", "set by"),
    ({"webhook": HOOK | {"headers": {"Content-Type": "a"}}}, ".webhook.headers.Content-Type", "set by"),
    ({"webhook": HOOK | {"headers": {"Authorization": "a"}}}, ".webhook.headers.Authorization", "secret"),
    ({"webhook": HOOK | {"headers": {"X-Api-Key": "a"}}}, ".webhook.headers.X-Api-Key", "secret"),
    ({"webhook": HOOK | {"headers": {"X-A": "a", "x-a": "b"}}}, ".webhook.headers.X-A", "twice"),
    (
        {"webhook": HOOK | {"headers": {f"X-{n}": "a" for n in range(11)}}},
        ".webhook.headers",
        "at most 10",
    ),
]


@pytest.mark.parametrize(("bad", "at", "words"), BAD, ids=[f"{at or 'all'}: {words}" for _, at, words in BAD])
def test_what_is_wrong_is_refused_by_the_name_of_its_field(bad: Any, at: str, words: str) -> None:
    with pytest.raises(DocumentError, match=words) as caught:
        read({"queue": "fine"}, bad)
    assert caught.value.field == f"notifications[1]{at}"


@pytest.mark.parametrize("bad", ["x", {}, [{"queue": "results"}] * 11])
def test_notifications_are_a_short_list(bad: Any) -> None:
    with pytest.raises(DocumentError, match="at most 10") as caught:
        read_policy({"vms": [VM], "notifications": bad})
    assert caught.value.field == "notifications"
