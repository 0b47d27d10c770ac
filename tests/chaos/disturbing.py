"""Requests that come late, twice, in another order or not at all, or are refused: by the proxies."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from random import Random

from local.stack.fault_answers import Service
from local.stack.fault_proxy import FaultProxy
from local.stack.fault_rules import Fault as What
from local.stack.fault_rules import Match, Rule
from local.stack.waiting import TooSlowError, until
from shared.saga.group import Barrier
from tests.chaos.arena import GROUP, Arena
from tests.chaos.trouble import MOMENTS, Fault, Trouble, until_moment

#: A service that fails for longer than this is another matter: nothing but deadlines ends a saga then.
_LONGEST_S = 8.0

_ACTS_WITHIN_S = 60.0

#: Messages between app and guests, and the app's own reminders.
_COMMANDS, _ACKS = ("arm", "quiesce", "resume", "release"), ("ready", "quiesced", "resumed")


@dataclass(kw_only=True)
class Disturbance(Trouble):
    """A rule of a proxy: from the start, or from a moment of a VM's saga on.

    It ends some seconds after it acted for the first time; what it holds is let go then, the latest first.
    """

    service: Service
    rule: Rule
    which: int
    moment: str
    lasting_s: float

    async def before(self, arena: Arena) -> None:
        if not self.moment:
            self._proxy(arena).add(self.rule)

    async def during(self, arena: Arena, run: asyncio.Future[str]) -> None:
        if self.moment:
            try:
                await until_moment(arena, arena.machines[self.which], self.moment)
            except TooSlowError:
                return
            self._proxy(arena).add(self.rule)
        with contextlib.suppress(TooSlowError):  # nothing came that it is for
            await until(self._acted(arena), within_s=_ACTS_WITHIN_S, what="the rule acts")
        await asyncio.sleep(self.lasting_s)
        await self.after(arena)

    async def after(self, arena: Arena) -> None:
        proxy = self._proxy(arena)
        proxy.remove(self.rule)
        self.happened = self._has_acted(arena)
        if self.rule.fault is What.HOLD:
            await proxy.release(self.rule)

    def _acted(self, arena: Arena) -> Callable[[], Awaitable[bool]]:
        async def acted() -> bool:
            return self._has_acted(arena)

        return acted

    def _has_acted(self, arena: Arena) -> bool:
        return any(passage.fault is self.rule.fault for passage in self._proxy(arena).journal)

    def _proxy(self, arena: Arena) -> FaultProxy:
        stack = arena.stack
        proxies = {
            Service.QUEUES: stack.proxy,
            Service.TABLES: stack.table_proxy,
            Service.AZURE: stack.azure_proxy,
        }
        return proxies[self.service]


def _weather(service: Service, rule: Rule, random: Random) -> Disturbance:
    """Let a rule act by chance for a while, or on everything at once for a short time at a moment."""
    methods = {
        Service.QUEUES: ("", "POST", "GET", "DELETE", "PUT"),
        Service.TABLES: ("", "POST", "GET"),
        Service.AZURE: ("", "PUT", "GET", "DELETE"),
    }
    method = rule.match.method or random.choice(methods[service])
    which, rain = random.randrange(2), random.random() < 0.5
    if rain:
        moment, lasting_s, chance = (
            "",
            round(random.uniform(3, _LONGEST_S), 1),
            random.choice((0.05, 0.1, 0.3)),
        )
    else:
        moment, chance = random.choice(MOMENTS), 1.0
        lasting_s = round(random.uniform(0.2, 3), 1)
    rule = replace(rule, match=replace(rule.match, method=method), times=None, chance=chance)
    when = "from the start" if rain else f"{('ledger', 'plain')[which]} {moment}"
    details = {"status": rule.status if "refuse" in rule.fault else 0, "delay_s": rule.delay_s}
    told = ", ".join(f"{name} {value}" for name, value in details.items() if value)
    text = f"{method or 'all'}, chance {chance}, {when}, {lasting_s} s{', ' if told else ''}{told}"
    return Disturbance(text=text, service=service, rule=rule, which=which, moment=moment, lasting_s=lasting_s)


def _plain(what: What) -> Callable[[Random], Rule]:
    return lambda _random: Rule(match=Match(), fault=what)


def _late(random: Random) -> Rule:
    return Rule(match=Match(), fault=What.DELAY, delay_s=round(random.uniform(0.1, 3), 1))


def _refusing(status: int, *, retry_after: bool = False) -> Callable[[Random], Rule]:
    def choose(random: Random) -> Rule:
        what = What.REFUSE if status == 429 or random.random() < 0.7 else What.REFUSE_AFTER
        seconds = random.choice((1, 2, 4)) if retry_after else None
        return Rule(match=Match(), fault=what, status=status, retry_after_s=seconds)

    return choose


def _stale(random: Random) -> Rule:
    what = random.choice((What.REFUSE, What.REFUSE_AFTER))
    return Rule(match=Match(method="POST", path="$batch"), fault=what, status=412)


def _twice(service: Service) -> Callable[[Random], Rule]:
    methods = {
        Service.QUEUES: ("POST", "DELETE", "PUT"),  # a receive that goes on twice is a lost answer
        Service.TABLES: ("POST",),
        Service.AZURE: ("PUT", "DELETE", "PATCH"),
    }[service]
    return lambda random: Rule(match=Match(method=random.choice(methods)), fault=What.DUPLICATE)


def _disturbing(name: str, service: Service, rule: Callable[[Random], Rule]) -> Fault:
    return Fault(f"{service}: {name}", lambda random: _weather(service, rule(random), random))


def _message(what: What, random: Random) -> Disturbance:
    """Hold or lose messages of one kind, of both VMs."""
    kind = random.choice((*_COMMANDS[1:3], *_ACKS, "watch"))
    generation = {} if random.random() < 0.5 else {"generation": 1}
    members = {"watch": random.randint(1, 2)} if kind == "watch" else {"kind": kind, **generation}
    times = random.choice((1, 2, None))
    lasting_s = round(random.uniform(0.3, 9), 1)
    rule = Rule(match=Match(members=members), fault=what, times=times)
    text = f"{members}, times {times}, for {lasting_s} s"
    return Disturbance(text=text, service=Service.QUEUES, rule=rule, which=0, moment="", lasting_s=lasting_s)


def _word(what: What, random: Random) -> Disturbance:
    """Hold or lose what a group of both VMs says to one of them: that a barrier is open, or that it broke."""
    barrier = random.choice((*Barrier, ""))
    times = random.choice((1, 2, None))
    lasting_s = round(random.uniform(0.3, 9), 1)
    rule = Rule(match=Match(members={"group": GROUP, "barrier": str(barrier)}), fault=what, times=times)
    text = f"{barrier or 'that it broke'}, times {times}, for {lasting_s} s"
    return Disturbance(text=text, service=Service.QUEUES, rule=rule, which=0, moment="", lasting_s=lasting_s)


def _of(service: Service) -> tuple[Fault, ...]:
    """Give what every service does."""
    return (
        _disturbing("late", service, _late),
        _disturbing("reset before", service, _plain(What.RESET)),
        _disturbing("reset after", service, _plain(What.RESET_AFTER)),
        _disturbing("truncated", service, _plain(What.TRUNCATE)),
        _disturbing("500", service, _refusing(500)),
        _disturbing("503, Retry-After", service, _refusing(503, retry_after=True)),
        _disturbing("429, Retry-After", service, _refusing(429, retry_after=True)),
        _disturbing("twice", service, _twice(service)),
    )


FAULTS = (
    *_of(Service.QUEUES),
    Fault("queues: reordered", lambda random: _message(What.HOLD, random)),
    Fault("queues: lost", lambda random: _message(What.LOSE, random)),
    Fault("group: words late", lambda random: _word(What.HOLD, random), for_groups=True),
    Fault("group: words lost", lambda random: _word(What.LOSE, random), for_groups=True),
    *_of(Service.TABLES),
    _disturbing("412", Service.TABLES, _stale),
    *_of(Service.AZURE),
)
