"""An API for the command line to call: answers by method and path, and what was asked."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from cli.app import main

URL = "http://127.0.0.1:7071"
GROUP = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/app"
VM = f"{GROUP}/providers/Microsoft.Compute/virtualMachines/db-1"

Reaction = httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]


def ok(body: Any, status: int = 200, **headers: str) -> httpx.Response:
    return httpx.Response(status, json=body, headers=headers)


def problem(status: int, detail: str, field_name: str = "", **headers: str) -> httpx.Response:
    body = {"type": "about:blank", "title": "No", "status": status, "detail": detail}
    more = {"field": field_name} if field_name else {}
    told = {
        "Content-Type": "application/problem+json",
        **{n.replace("_", "-"): v for n, v in headers.items()},
    }
    return httpx.Response(status, content=json.dumps(body | more), headers=told)


@dataclass
class Api:
    """Reacts to each request in turn; the last reaction to a path stays."""

    reactions: dict[str, list[Reaction]] = field(default_factory=dict)
    asked: list[httpx.Request] = field(default_factory=list)

    def on(self, method: str, path: str, *reactions: Reaction) -> "Api":
        self.reactions[f"{method} /api{path}"] = list(reactions)
        return self

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        waiting = self.reactions.get(f"{request.method} {request.url.path}")
        if not waiting:
            return httpx.Response(404, text="no such function")
        reaction = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        if isinstance(reaction, Exception):
            raise reaction
        return reaction if isinstance(reaction, httpx.Response) else reaction(request)

    def run(self, *arguments: str, **environment: str) -> int:
        """Run a command against this API; give its exit code."""
        given: Mapping[str, str] = {"HOME": "/nonexistent", "STILLFRAME_URL": URL, **environment}
        return main(list(arguments), environment=given, transport=httpx.MockTransport(self))

    def said(self, number: int = -1) -> Any:
        """Give the body of a request."""
        return json.loads(self.asked[number].content)


def entry(name: str, phase: str = "done", outcome: str | None = "succeeded", **more: Any) -> dict[str, Any]:
    """A VM of a run as the API shows it."""
    return {
        "vm": VM.replace("db-1", name),
        "name": name,
        "saga": f"saga-{name}",
        "href": f"/api/runs/r1/vms/saga-{name}",
        "phase": phase,
        "outcome": outcome if phase == "done" else None,
        "grade": "application" if phase == "done" and outcome == "succeeded" else None,
        "freeze_window_ms": 812 if phase == "done" else None,
        "warnings": 0,
        "why": "",
        "problem": None,
        "ended_at": None,
        **more,
    }


def run_view(*vms: dict[str, Any], **more: Any) -> dict[str, Any]:
    ended = sum(1 for vm in vms if vm["phase"] == "done")
    return {
        "run": "r1",
        "state": "ended" if ended == len(vms) else "running",
        "policy": "nightly",
        "requested_by": "http",
        "created_at": "2026-11-27T02:30:00.010Z",
        "cancel_requested": False,
        "vm_count": len(vms),
        "vms_ended": ended,
        "warnings": sum(vm["warnings"] for vm in vms),
        "vms": list(vms),
        **more,
    }


def written(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text)
    return str(path)
