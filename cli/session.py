"""What the commands of one call share: configuration, client, output."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import httpx
import typer

from cli.client import Client
from cli.config import Config, Given, read_config
from cli.errors import BadUsage
from cli.shown import Show

_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


@dataclass(slots=True)
class Session:
    """Made before a command runs; what needs the API is made when it is first asked for."""

    given: Given = field(default_factory=Given)
    color: bool | None = None
    quiet: bool = False
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    transport: httpx.BaseTransport | None = None
    _config: Config | None = None

    @property
    def config(self) -> Config:
        """The configuration.

        Raises:
            BadUsage: it is wrong, or there is no URL.
        """
        if self._config is None:
            self._config = read_config(self.given, self.environment)
            for warning in self._config.warnings:
                self.note(warning)
        return self._config

    @property
    def show(self) -> Show:
        """Where results go."""
        return Show(self.config.output, color=self.color)

    def client(self) -> Client:
        """Give a client; it is to be closed."""
        return Client(self.config, transport=self.transport)

    def note(self, text: str) -> None:
        """Say something that is no result, unless ``--quiet`` was asked for."""
        if not self.quiet:
            typer.echo(text, err=True)


def session_of(context: typer.Context) -> Session:
    """Give the session of a command."""
    found = context.find_root().obj
    assert isinstance(found, Session)
    return found


def moment_given(text: str | None, name: str, *, now: datetime | None = None) -> str | None:
    """Read a time that a person gives: RFC 3339, a day, or how long ago (``12h``, ``7d``).

    Raises:
        BadUsage: it is none.
    """
    if not text:
        return None
    if text[-1] in _UNITS and text[:-1].isdecimal() and len(text) < 7:
        at = (now or datetime.now(UTC)) - int(text[:-1]) * _UNITS[text[-1]]
    else:
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            raise BadUsage(f"{name} {text}: expected a time like 2026-01-31T12:00:00Z, or 12h, 7d") from None
        at = at if at.tzinfo else at.astimezone()
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
