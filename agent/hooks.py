"""The post-script is owed once its generation has begun, and is run once, by whoever is alive.

Agent, dead-man and a restarted agent may all want to run it. They agree through files of the journal:
``begun-<g>`` says that it is owed; ``post-<g>.<n>`` is the claim of one process, made with O_EXCL;
``post-<g>.result`` is the result. A claim without a result whose owner is dead is taken over as number n+1,
after what is left of the first run was killed.
"""

import json
import os
import threading
import time
from typing import Mapping, Optional, Tuple

from agent import files, records, scripts, staging
from agent.journal import Journal, generation_name, name_of
from agent.orders import ScriptSpec
from agent.records import POST, ScriptResult
from agent.system import Clock, System

_PAUSE_S = 0.02
#: What the names of a generation's files begin with: its hooks, scripts, holds and anchor.
_OF_GENERATIONS = ("begun-", "post-", "script-", "hold-", "closed-", "anchor-")
#: How much longer than its script the owner of a claim may take, before it is killed (ms).
_STUCK_MS = 5_000


class Hooks:
    """The hooks of one generation of one saga."""

    def __init__(self, journal: Journal, system: System, clock: Clock, saga: str, generation: int) -> None:
        self._journal = journal
        self._system = system
        self._clock = clock
        self._saga = saga
        self._generation = generation
        self._name = generation_name(saga, generation)

    def begin(self) -> None:
        """Note that a write may be held from now on, so that the post-script is owed."""
        os.close(os.open(self._journal.file("begun-" + self._name), os.O_WRONLY | os.O_CREAT, 0o600))

    def begun(self) -> bool:
        """Say whether the post-script is owed."""
        return os.path.exists(self._journal.file("begun-" + self._name))

    def result(self) -> Optional[ScriptResult]:
        """Give the post-script's result, None while there is none."""
        try:
            with open(self._journal.file("post-{}.result".format(self._name))) as file:
                result = records.from_json(json.load(file), records.types_of(records))
        except FileNotFoundError:
            return None
        assert isinstance(result, ScriptResult)
        return result

    def run_post(self, spec: ScriptSpec, environ: Mapping[str, str]) -> ScriptResult:
        """Run the post-script, or wait for the one who runs it; the result is the same for all."""
        deadline = self._clock.monotonic() + spec.total_ms + _STUCK_MS
        while True:
            done = self.result()
            if done is not None:
                return done
            number, owner = self._last_claim()
            if owner and self._alive(owner):
                if self._clock.monotonic() >= deadline:  # it is stopped, or stuck
                    self._system.kill_tree(int(owner.partition(":")[0]), {})
                time.sleep(_PAUSE_S)
            elif self._claim(number + 1):
                return self._run(spec, environ, again=number > 0)

    def _run(self, spec: ScriptSpec, environ: Mapping[str, str], *, again: bool) -> ScriptResult:
        marked = scripts.marks(self._saga, self._generation, POST)
        if again:
            self._system.kill_tree(None, marked)
        prepared = staging.load(self._journal, self._saga, self._generation, POST)
        if prepared is None:
            result = scripts.not_started(spec, "script_lost", "{} was not kept.".format(spec.label))
        else:
            execution = scripts.Execution(self._system, self._clock, prepared, marked)
            result = execution.run(environ, spec.total_ms, starting=lambda: None)
        name = self._journal.file("post-{}.result".format(self._name))
        with open(name + ".new", "w") as file:
            json.dump(records.to_json(result), file)
        files.replace(name + ".new", name)
        return result

    def _claim(self, number: int) -> bool:
        """Claim run number ``number``; False if another was first."""
        # Written aside and linked: a claim is never seen without its owner.
        claim = self._journal.file("post-{}.{}".format(self._name, number))
        own = "{}.by-{}-{}".format(claim, os.getpid(), threading.get_ident())
        with open(own, "w") as file:
            file.write(self._system.identity(os.getpid()))
        try:
            os.link(own, claim)
        except FileExistsError:
            return False
        finally:
            os.unlink(own)
        return True

    def _last_claim(self) -> Tuple[int, str]:
        number, owner = 0, ""
        while True:
            try:
                with open(self._journal.file("post-{}.{}".format(self._name, number + 1))) as file:
                    owner = file.read()
            except FileNotFoundError:
                return number, owner
            number += 1

    def _alive(self, owner: str) -> bool:
        return self._system.identity(int(owner.partition(":")[0])) == owner


def forget_others(journal: Journal, saga: str) -> None:
    """Remove the hooks, scripts and holds of every other saga; call it only while nothing is held."""
    mine = name_of(saga)
    for name in os.listdir(journal.path):
        if name.startswith(_OF_GENERATIONS) and not name.partition("-")[2].startswith(mine):
            journal.forget(name)
