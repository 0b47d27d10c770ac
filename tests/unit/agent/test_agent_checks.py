"""What `agent.pyz check` makes of what it sees: names, certificates, clocks, SAS and tokens."""

import base64
import json
import ssl

import pytest

from agent.checks import FAILED, OK, WARNING, Finding, guest, rights, softened, stops, way
from agent.config import Bootstrap

NOW = 1_800_000_000.0  # 2027-01-15T08:00:00Z


@pytest.mark.parametrize(
    ("addresses", "verdict", "told"),
    [
        ([], FAILED, "no address"),
        (["10.1.2.4"], OK, "private"),
        (["20.60.1.4"], OK, "public"),
        (["fd00::4"], OK, "private"),
        (["fe80::1%eth0"], OK, "private"),
        (["20.60.1.4", "10.1.2.4"], WARNING, "private and public"),
    ],
)
def test_a_name_is_told_with_whether_its_address_is_private(
    addresses: list[str], verdict: str, told: str
) -> None:
    found = way.dns("queue", "a.queue.core.windows.net", addresses)

    assert (found.verdict, found.name) == (verdict, "queue-dns")
    assert told in found.detail


@pytest.mark.parametrize(
    ("host", "signer", "verdict"),
    [
        ("a.queue.core.windows.net", "Microsoft Corporation", OK),
        ("a.queue.core.windows.net", "DigiCert Inc", OK),
        ("a.queue.core.windows.net", "A Proxy That Reads Along", WARNING),
        ("a.queue.core.usgovcloudapi.net", "A Proxy That Reads Along", WARNING),
        ("storage.invalid", "Somebody", OK),
    ],
)
def test_a_proxy_that_reads_along_is_seen_by_who_signed_the_storages_certificate(
    host: str, signer: str, verdict: str
) -> None:
    certificate = {"issuer": ((("organizationName", signer),), (("commonName", "CA 1"),))}

    found = way.trust("queue-tls", host, certificate, "TLSv1.3")

    assert found.verdict == verdict
    assert signer in found.detail


@pytest.mark.parametrize(
    ("why", "advice"),
    [
        ("Hostname mismatch, certificate is not valid for 'a'.", "another server"),
        ("hostname 'a' doesn't match 'b'", "another server"),
        ("certificate has expired", "clock"),
        ("certificate is not yet valid", "clock"),
        ("unable to get local issuer certificate", "CA certificates"),
        ("WRONG_VERSION_NUMBER", "no TLS"),
    ],
)
def test_a_refused_certificate_is_told_with_what_to_do(why: str, advice: str) -> None:
    told, what = way.distrust("a", ssl.SSLError(1, why))

    assert told.startswith("a: ")
    assert advice in what


@pytest.mark.parametrize(
    ("date", "verdict"),
    [
        ("Fri, 15 Jan 2027 08:00:00 GMT", OK),
        ("Fri, 15 Jan 2027 08:00:06 GMT", WARNING),
        ("Fri, 15 Jan 2027 09:00:00 GMT", FAILED),
        ("Fri, 15 Jan 2027 07:00:00 GMT", FAILED),
        ("a moment ago", WARNING),
    ],
)
def test_the_clock_is_judged_by_how_far_it_is_off(date: str, verdict: str) -> None:
    assert way.clock(date, NOW).verdict == verdict


@pytest.mark.parametrize(
    ("query", "verdict", "told"),
    [
        ("?sp=p&se=2027-01-15T08:00:01Z&sig=x", OK, "good until 2027-01-15T08:00:01Z"),
        ("?sp=rap&se=2027-01-15T09:00Z&sig=x", OK, "good until"),
        ("?sp=p&se=2027-01-15T08:00:00Z&sig=x", FAILED, "expired at"),
        ("?sp=p&se=2027-01-15&sig=x", FAILED, "expired at"),
        ("?sp=a&se=2028-01-01&sig=x", FAILED, "grants sp=a"),
        ("?si=guests&sig=x", OK, "stored policy guests"),
        ("?sp=p&se=soon&sig=x", WARNING, "until when"),
        ("", FAILED, "no SAS"),
    ],
)
def test_a_sas_is_judged_by_what_it_says_of_itself_and_never_repeated(
    query: str, verdict: str, told: str
) -> None:
    found = rights.sas("commands-sas", "https://a.queue.core.windows.net/c" + query, "p", NOW)

    assert found.verdict == verdict
    assert told in found.detail
    assert "sig" not in found.detail + found.advice


def token(claims: object) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{payload}.signature"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (token({"oid": "0000-11"}), "object id 0000-11"),
        (token({"appid": "x"}), "does not name"),
        (token([]), "does not name"),
        ("opaque", "does not name"),
        ("a.!!.c", "does not name"),
    ],
)
def test_a_token_is_told_by_the_object_that_role_assignments_name(text: str, told: str) -> None:
    assert told in rights.principal(text)


def test_the_services_are_those_of_the_queues_and_the_blobs_beside_them() -> None:
    url = "https://a.queue.core.windows.net/{}?sig=secret"
    bootstrap = Bootstrap("/v", b"", url.format("c"), url.format("a"))

    found = way.endpoints_of(bootstrap, ["https://b.blob.core.windows.net/"])

    assert [(each.label, each.url, each.needed) for each in found] == [
        ("queue", "https://a.queue.core.windows.net", True),
        ("blob", "https://a.blob.core.windows.net", False),
        ("blob", "https://b.blob.core.windows.net", True),
    ]


def test_an_account_that_is_named_in_the_path_keeps_it() -> None:
    bootstrap = Bootstrap("/v", b"", "http://127.0.0.1:1/acct/c?sig=x", "http://127.0.0.1:1/acct/a?sig=x")

    assert [each.url for each in way.endpoints_of(bootstrap, [])] == ["http://127.0.0.1:1/acct"]


def test_a_proxy_in_the_environment_is_told_of_and_not_used() -> None:
    assert way.proxies({"PATH": "/bin"}) == []
    assert [found.verdict for found in way.proxies({"https_proxy": "http://proxy:3128"})] == [WARNING]


def test_what_the_agent_can_do_without_is_no_failure() -> None:
    found = softened(Finding(FAILED, "blob-tcp", "closed", "Open it"), "Only scripts need it")

    assert found == Finding(WARNING, "blob-tcp", "closed", "Open it. Only scripts need it")
    assert not stops([found])


def test_an_application_without_its_client_is_told_of(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = f"{tmp_path}/agent.conf"
    with open(settings, "w") as file:  # noqa: PTH123 - as the agent reads it
        file.write(f"[postgresql]\nhost = {tmp_path}\nclient = {tmp_path}/psql\n")
    with open(f"{tmp_path}/.s.PGSQL.5432", "w"):  # noqa: PTH123 - stands for the server's socket
        pass
    environ = {"STILLFRAME_CONFIG": settings, "PATH": ""}

    found = {each.name: each for each in guest.applications(environ)}

    assert found["postgresql"].verdict == WARNING
    assert "agent.conf" in found["postgresql"].advice
