"""A reverse proxy before a service that loses, holds, delays, repeats and breaks what passes.

The service is Azurite's queues or tables, or the simulated Azure. Requests go on as they came, without a
header more, so that SharedKey signatures and SAS stay valid: neither covers the port. The Host header goes
on, too, so that the absolute URLs in Azure's answers lead through the proxy. Commands, acks and the app's own
messages are told apart by the members of their JSON.
"""

import asyncio
import base64
import contextlib
import json
import re
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from local.stack.fault_answers import Service, refusal
from local.stack.fault_rules import Fault, FaultRules, Match, Rule

_TEXT = re.compile(rb"<MessageText>([^<]*)</MessageText>")
#: Headers of one connection, and the length, which is measured anew.
_NOT_PASSED_ON = ("Connection", "Keep-Alive", "Transfer-Encoding", "Content-Length")
#: What the client would add by itself.
_NOT_ADDED = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
_UPSTREAM_TIMEOUT_S = 30.0
#: What a request may carry: a transaction of Table Storage.
_MOST_BYTES = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """One request as the journal keeps it. ``status`` is None where the connection was broken."""

    at: datetime
    method: str
    path: str
    messages: tuple[Mapping[str, Any], ...]
    fault: Fault | None
    status: int | None


@dataclass(frozen=True, slots=True)
class _Exchange:
    """A request that can be sent again, or its answer."""

    method: str
    target: str
    headers: CIMultiDict[str]
    body: bytes
    status: int = 0


class FaultProxy:
    """The proxy's rules, first come first served, and the journal of what it did."""

    def __init__(
        self, upstream: str, client: aiohttp.ClientSession, seed: int, service: Service = Service.QUEUES
    ) -> None:
        self._upstream = upstream
        self._service = service
        self._client = client
        self._rules = FaultRules(seed)
        self._held: list[tuple[Rule, _Exchange]] = []
        self.journal: list[Passage] = []
        self.port = 0

    def add(self, rule: Rule) -> Rule:
        """Let a rule act from now on."""
        self._rules.add(rule)
        return rule

    def remove(self, rule: Rule) -> None:
        """Take a rule back; what it holds stays held."""
        self._rules.remove(rule)

    def held(self, rule: Rule) -> int:
        """Say how many messages a rule holds."""
        return sum(1 for holder, _ in self._held if holder is rule)

    async def release(self, rule: Rule) -> None:
        """Put the messages that a rule holds into their queues, the latest first."""
        due = [request for holder, request in self._held if holder is rule]
        self._held = [(holder, request) for holder, request in self._held if holder is not rule]
        for request in reversed(due):
            await self._send(request)

    def seen(self, **members: Any) -> int:
        """Count the requests that carried a message with these members, whatever became of them."""
        match = Match(method="POST", members=members)
        return sum(1 for each in self.journal if match.fits(each.method, each.path, each.messages))

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Pass a request on, unless a rule has other plans for it."""
        asked = _Exchange(
            request.method, request.raw_path, CIMultiDict(request.headers), await request.read()
        )
        messages = _messages(asked.body)
        rule = self._rules.take(asked.method, request.path, messages, after=False)
        try:
            answer = await self._before(rule, asked)
            if answer is None and (rule is None or rule.fault is not Fault.RESET):
                answer = await self._send(asked)
                messages += _messages(answer.body)
                later = self._rules.take(asked.method, request.path, messages, after=True)
                if later is not None:
                    rule, answer = later, self._after(later, asked, answer)
        except (aiohttp.ClientError, TimeoutError):  # the service is down, and so is this connection
            answer = None
        self.journal.append(
            Passage(
                at=datetime.now(UTC),
                method=asked.method,
                path=request.path,
                messages=messages,
                fault=rule.fault if rule else None,
                status=answer.status if answer else None,
            )
        )
        if answer is None:
            return _broken(request)
        if rule is not None and rule.fault is Fault.TRUNCATE:
            return await _half(request, answer)
        return web.Response(status=answer.status, headers=answer.headers, body=answer.body)

    async def _before(self, rule: Rule | None, asked: _Exchange) -> _Exchange | None:
        """Do what a rule wants before the request goes on; an answer is given instead of going on."""
        if rule is None:
            return None
        match rule.fault:
            case Fault.LOSE:
                return _pretended(asked)
            case Fault.HOLD:
                self._held.append((rule, asked))
                return _pretended(asked)
            case Fault.REFUSE:
                return self._refused(asked, rule)
            case Fault.DELAY:
                await asyncio.sleep(rule.delay_s)
            case Fault.DUPLICATE:
                await self._send(asked)
        return None

    def _after(self, rule: Rule, asked: _Exchange, answer: _Exchange) -> _Exchange | None:
        """Give what is answered instead; None where the connection is to break."""
        match rule.fault:
            case Fault.REFUSE_AFTER:
                return self._refused(asked, rule)
            case Fault.TRUNCATE if answer.body:
                return answer
            case _:
                return None

    def _refused(self, asked: _Exchange, rule: Rule) -> _Exchange:
        headers, body = refusal(self._service, rule.status, rule.retry_after_s)
        return _Exchange(asked.method, asked.target, headers, body, status=rule.status)

    async def _send(self, request: _Exchange) -> _Exchange:
        url = URL(self._upstream + request.target, encoded=True)
        headers = _passed_on(request.headers)
        sending = self._client.request(request.method, url, headers=headers, data=request.body or None)
        async with sending as answer:
            body = await answer.read()
            return _Exchange(
                request.method, request.target, _passed_on(answer.headers), body, status=answer.status
            )


@contextlib.asynccontextmanager
async def proxying(
    upstream: str, *, seed: int = 0, service: Service = Service.QUEUES
) -> AsyncIterator[FaultProxy]:
    """Run a proxy before ``upstream`` (scheme, host, port) on a free port; what it still holds is lost."""
    timeout = aiohttp.ClientTimeout(total=_UPSTREAM_TIMEOUT_S)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        skip_auto_headers=_NOT_ADDED,
        auto_decompress=False,
        timeout=timeout,
    ) as client:
        proxy = FaultProxy(upstream, client, seed, service)
        application = web.Application(client_max_size=_MOST_BYTES)
        application.router.add_route("*", "/{path:.*}", proxy.handle)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            proxy.port = runner.addresses[0][1]
            yield proxy
        finally:
            await runner.cleanup()


def _messages(body: bytes) -> tuple[Mapping[str, Any], ...]:
    """Give the messages in a request or an answer that are JSON objects."""
    found = []
    for text in _TEXT.findall(body):
        with contextlib.suppress(ValueError, RecursionError):  # what is no message passes like one
            message = json.loads(base64.b64decode(text, validate=True))
            if isinstance(message, dict):
                found.append(message)
    return tuple(found)


def _pretended(asked: _Exchange) -> _Exchange:
    """Answer as Put Message does."""
    now = datetime.now(UTC)
    at, until = format_datetime(now, usegmt=True), format_datetime(now + timedelta(days=7), usegmt=True)
    body = (
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?><QueueMessagesList><QueueMessage>'
        f"<MessageId>{uuid.uuid4()}</MessageId><InsertionTime>{at}</InsertionTime>"
        f"<ExpirationTime>{until}</ExpirationTime><PopReceipt>{uuid.uuid4().hex}</PopReceipt>"
        f"<TimeNextVisible>{at}</TimeNextVisible></QueueMessage></QueueMessagesList>"
    )
    headers = CIMultiDict({"Content-Type": "application/xml"})
    return _Exchange(asked.method, asked.target, headers, body.encode(), status=201)


def _broken(request: web.Request) -> web.StreamResponse:
    """Break the connection."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _half(request: web.Request, answer: _Exchange) -> web.StreamResponse:
    """Answer with half of the body, and break the connection."""
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    response.content_length = len(answer.body)
    await response.prepare(request)
    await response.write(answer.body[: len(answer.body) // 2])
    if request.transport is not None:
        request.transport.close()  # once what was written is on its way
    return response


def _passed_on(headers: Mapping[str, str]) -> CIMultiDict[str]:
    kept = CIMultiDict(headers)
    for name in _NOT_PASSED_ON:
        kept.popall(name, None)
    return kept
