"""Answers of calls whose own tests are elsewhere, by their contract, for the page to show."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlparse

from playwright.async_api import Page, Route

from tests.e2e.page_seed import HOSTILE

PREFIX = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines"


def moment(at: datetime) -> str:
    """Write a time as the API does."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def points(now: datetime) -> list[dict[str, Any]]:
    """Give recovery points, one a day for two VMs, the newest first."""
    found = []
    for back in range(12):
        for name in ("sql-001", HOSTILE[0]):
            worse = back == 3
            found.append(
                {
                    "point": f"{back:019}{len(name) % 10}",
                    "href": "/api/recovery-points/x",
                    "vm": f"{PREFIX}/{name}",
                    "name": name,
                    "policy": "nightly-databases",
                    "run": f"{back:016}",
                    "state": "available",
                    "outcome": "degraded" if worse else "succeeded",
                    "grade": "crash" if worse else "application",
                    "created_at": moment(now - timedelta(days=back)),
                    "freeze_window_ms": None if worse else 1_900 + back,
                    "warnings": 2 if worse else 0,
                    "hold": _HOLD if back == 5 else None,
                    "why": "",
                    "changed_at": None,
                }
            )
    return found


_HOLD = {"reason": "audit of the year", "since": "2026-01-01T00:00:00.000Z", "until": None, "immutable": True}


def _policy(name: str, description: str, times: list[str]) -> dict[str, Any]:
    missed = {"time": "2026-11-20T02:00:00.000Z", "count": 2, "why": "the app was down"}
    return {
        "policy": name,
        "href": f"/api/policies/{name}",
        "description": description,
        "readable": True,
        "vms_named": 3,
        "selects": False,
        "times": [
            {
                "schedule": f"schedule {number}",
                "paused": False,
                "next_time": time,
                "last_run": {"run": "0" * 16, "time": "2026-11-26T02:00:00.000Z"},
                "last_missed": missed if number == 1 else None,
            }
            for number, time in enumerate(times)
        ],
    }


class Answers:
    """Answers a page's calls; ``asked`` has the queries of each."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.asked: list[tuple[str, dict[str, str]]] = []

    async def serve(self, page: Page) -> None:
        """Take the place of these calls of the app."""
        await page.route("**/api/recovery-points**", self._answer)
        await page.route("**/api/policies**", self._answer)
        await page.route("**/api/runs?**", self._answer)

    async def _answer(self, route: Route) -> None:
        url = urlparse(route.request.url)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        path = url.path.removeprefix("/api/")
        self.asked.append((path, query))
        if path == "recovery-points":
            body: Any = self._points(query)
        elif path.startswith("recovery-points/"):
            body = points(self.now)[0] | {
                "reasons": ["everything was held until the order", HOSTILE[1]],
                "resources": [f"{PREFIX}/snap-1", f"{PREFIX}/snap-2"],
                "missing": [f"{PREFIX}/snap-2"],
                "evidence_sha256": "ab" * 32,
            }
        else:
            body = {"policies": self._policies, "runs": self._runs}[path]()
        await route.fulfill(body=json.dumps(body), content_type="application/json")

    def _points(self, query: dict[str, str]) -> dict[str, Any]:
        found = [
            point
            for point in points(self.now)
            if query.get("vm", point["name"]) in (point["name"], point["vm"])
            and query.get("since", "") <= point["created_at"] < query.get("until", "3")
            and query.get("grade", point["grade"]) == point["grade"]
        ]
        start = int(query.get("continuation", "0"))
        more = start + 10 < len(found)
        return {"items": found[start : start + 10], "continuation": str(start + 10) if more else None}

    def _policies(self) -> dict[str, Any]:
        times = [moment(self.now + timedelta(hours=hours)) for hours in (3, 27)]
        return {
            "items": [
                _policy("no-schedule", "", []),
                _policy("nightly-databases", HOSTILE[0], times),
            ],
            "continuation": None,
        }

    def _runs(self) -> dict[str, Any]:
        def run(number: int, state: str, ended: int, failed: int, warnings: int) -> dict[str, Any]:
            return {
                "run": f"{number:016}",
                "href": f"/api/runs/{number:016}",
                "state": state,
                "policy": "nightly-databases",
                "requested_by": "schedule",
                "created_at": moment(self.now - timedelta(hours=24 * number)),
                "vm_count": 40,
                "vms_ended": ended,
                "vms_failed": failed,
                "warnings": warnings,
            }

        items = [
            run(0, "running", 12, 0, 0),
            run(1, "ended", 40, 0, 0),
            run(2, "ended", 40, 3, 0),
            run(3, "ended", 40, 0, 2),
        ]
        return {"items": items, "continuation": None}
