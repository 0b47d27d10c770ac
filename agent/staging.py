"""Getting the scripts of a generation ready while nothing is held: found, allowed, fetched, checked, kept.

What can refuse a script refuses it here, before the first write is held, the post-script as well. What is
kept lies in the state's folder, so that whoever runs a script later, the dead-man or a restarted agent, needs
no network and asks nobody.
"""

import hashlib
import json
import os
from typing import Callable, Mapping, NamedTuple, Optional, Union

from agent import fetching, files, orders, records, script_rules
from agent.config import BadSetting
from agent.journal import Journal, generation_name
from agent.orders import Quiesce, ScriptSpec
from agent.records import POST, PRE, ScriptUser
from agent.script_rules import ScriptRules
from agent.system import Clock, ScriptUnusable, System


class Prepared(NamedTuple):
    """A script that can be run: ``path`` is where it lies, ``user`` as whom it runs (None: as the agent).

    ``missing`` says in a sentence that there is none, which its rules allow.
    """

    spec: ScriptSpec
    path: str
    user: Optional[ScriptUser] = None
    missing: str = ""


_TYPES = dict(records.types_of(orders), **records.types_of(records))
_TYPES.update(Prepared=Prepared)


def needs_network(plan: Quiesce) -> bool:
    """Say whether a script has to be fetched."""
    return any(script is not None and script.url for script in (plan.pre_script, plan.post_script))


class Staging:
    """Prepares the scripts of one generation; it is given up once ``over`` says so."""

    def __init__(
        self,
        journal: Journal,
        system: System,
        clock: Clock,
        environ: Mapping[str, str],
        over: Callable[[], bool],
    ) -> None:
        self._journal = journal
        self._system = system
        self._clock = clock
        self._environ = environ
        self._over = over

    def stage(self, saga: str, generation: int, plan: Quiesce) -> None:
        """Prepare both scripts, in at most the plan's quiesce time-out.

        Raises:
            ScriptUnusable: one of them must not be run, or cannot be.
        """
        if plan.pre_script is None and plan.post_script is None:
            return
        try:
            rules = script_rules.load(self._environ)
        except BadSetting as error:
            raise ScriptUnusable("bad_guest_config", "The guest's own settings: {}.".format(error)) from None
        deadline = self._clock.monotonic() + plan.quiesce_timeout_ms
        for phase, spec in ((PRE, plan.pre_script), (POST, plan.post_script)):
            if spec is not None:
                stem = _stem(self._journal, saga, generation, phase)
                _write(
                    stem + ".json", json.dumps(records.to_json(self._prepare(spec, stem, rules, deadline)))
                )

    def _prepare(self, spec: ScriptSpec, stem: str, rules: ScriptRules, deadline: int) -> Prepared:
        user = self._user(spec, rules)
        if spec.path:
            return self._find(spec, user, rules)
        if not rules.delivered:
            raise ScriptUnusable("script_not_allowed", "The guest's settings forbid delivered scripts.")
        content = spec.content.encode("utf-8", "surrogatepass")
        if spec.url:
            content = fetching.fetch(spec.url, deadline, self._clock, self._over)
        if hashlib.sha256(content).hexdigest() != spec.sha256:
            detail = "What was delivered as {} is not what its SHA-256 says.".format(spec.name)
            raise ScriptUnusable("script_hash_mismatch", detail)
        path = stem + "-" + spec.name
        _write(path, content)
        self._system.lend(path, user)
        return Prepared(spec._replace(content="", url=""), path, user)

    def _find(self, spec: ScriptSpec, user: Optional[ScriptUser], rules: ScriptRules) -> Prepared:
        """Find a script of the guest: its links are resolved once, so that no later one leads elsewhere."""
        if not os.path.isabs(spec.path):
            raise ScriptUnusable("script_path", "{} is not an absolute path.".format(spec.path))
        path = os.path.realpath(spec.path)
        if not rules.covers(path):
            where = os.pathsep.join(rules.folders) or "none"
            detail = "{} does not lie in a folder for scripts ({}).".format(spec.path, where)
            raise ScriptUnusable("script_outside", detail)
        try:
            self._system.script_command(path, spec.arguments)
        except ScriptUnusable as refusal:
            if refusal.reason == "script_missing" and spec.ignore_missing:
                return Prepared(spec, "", user, missing=refusal.detail)
            raise
        return Prepared(spec, path, user)

    def _user(self, spec: ScriptSpec, rules: ScriptRules) -> Optional[ScriptUser]:
        user = self._system.as_user(spec.run_as) if spec.run_as else None
        name = spec.run_as or self._system.own_user()
        if not rules.allows_user(name):
            detail = "The guest's settings forbid to run scripts as {}.".format(name)
            raise ScriptUnusable("run_as_not_allowed", detail)
        return user


def load(journal: Journal, saga: str, generation: int, phase: str) -> Optional[Prepared]:
    """Give a script that was prepared; None if it was not."""
    try:
        with open(_stem(journal, saga, generation, phase) + ".json") as file:
            prepared = records.from_json(json.load(file), _TYPES)
    except FileNotFoundError:
        return None
    assert isinstance(prepared, Prepared)
    return prepared


def forget(journal: Journal, saga: str, generation: int) -> None:
    """Remove the scripts of a generation that was called off while they were made ready."""
    _remove(journal, "script-{}-".format(generation_name(saga, generation)))


def forget_all(journal: Journal) -> None:
    """Remove all scripts: the last generation is over, an earlier agent's too."""
    _remove(journal, "script-")


def _remove(journal: Journal, prefix: str) -> None:
    for name in os.listdir(journal.path):
        if name.startswith(prefix):
            journal.forget(name)


def _stem(journal: Journal, saga: str, generation: int, phase: str) -> str:
    return journal.file("script-{}-{}".format(generation_name(saga, generation), phase))


def _write(path: str, content: Union[str, bytes]) -> None:
    """Write a file that nobody else may read, and that is there only as a whole."""
    data = content.encode("ascii") if isinstance(content, str) else content
    handle = os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | files.BINARY, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    files.replace(path + ".new", path)
