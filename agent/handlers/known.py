"""The handlers that there are, by name."""

import sys
from typing import Callable, Dict, Mapping, Tuple

from agent import guest_config
from agent.config import BadSetting
from agent.handlers import Handler, HandlerFailed, sqlserver
from agent.handlers.sites import Site
from agent.orders import HandlerSpec

#: The client tools that handlers work through, in the order in which they look, and where besides PATH.
_CLIENTS: Dict[str, Tuple[Tuple[str, ...], Tuple[str, ...]]] = {"sqlserver": (("sqlcmd",), sqlserver.PLACES)}

_MAKERS: Dict[str, Callable[[Site], Handler]] = {"sqlserver": sqlserver.SQLServer}

#: How long a handler's process may take to prove and let go (ms), before it is ended and its hold undone.
_RESUME_MS = 3_000
_RESUME_SLOWLY_MS: Dict[str, int] = {"sqlserver": sqlserver.RESUME_MS}

if sys.platform != "win32":
    from agent.handlers import mariadb, mongodb, postgresql, services

    _MAKERS.update(
        mariadb=mariadb.MariaDB,
        mysql=mariadb.MySQL,
        mongodb=mongodb.MongoDB,
        postgresql=postgresql.PostgreSQL,
        services=services.Services,
    )
    _CLIENTS.update(
        mariadb=(mariadb.MariaDB.tools, ()),
        mysql=(mariadb.MySQL.tools, ()),
        mongodb=(("mongosh",), ()),
        postgresql=(("psql",), postgresql.PLACES),
    )
    _RESUME_SLOWLY_MS["services"] = services.RESUME_MS


def resume_ms(name: str) -> int:
    """Say how long the handler ``name`` may take to prove that it held, and to let go (ms)."""
    return _RESUME_SLOWLY_MS.get(name, _RESUME_MS)


def make(spec: HandlerSpec, environ: Mapping[str, str]) -> Handler:
    """Make a handler for what ``spec`` names; the guest's file says where it is.

    Raises:
        HandlerFailed: a setting is wrong, the order's or the guest's.
    """
    site = site_of(spec, environ)
    maker = _MAKERS.get(spec.name)
    if maker is None:
        raise HandlerFailed("bad_setting", "name: expected one of {}".format(", ".join(sorted(_MAKERS))))
    return maker(site)


def site_of(spec: HandlerSpec, environ: Mapping[str, str]) -> Site:
    """Say where the application that ``spec`` names is, by the guest's file.

    With the setting ``instance`` the section is ``[name:instance]``, so that a guest may have several.

    Raises:
        HandlerFailed: there is no such section, or the file is wrong.
    """
    settings = dict(spec.settings)
    instance = settings.pop("instance", "")
    section = "{}:{}".format(spec.name, instance) if instance else spec.name
    try:
        sections = guest_config.load(environ)
    except BadSetting as error:
        raise HandlerFailed("bad_setting", str(error)) from None
    if instance and section not in sections:
        expected = "settings.instance: expected a section [{}] in {}".format(
            section, guest_config.path_of(environ)
        )
        raise HandlerFailed("bad_setting", expected)
    return Site(spec.mode, settings, sections.get(section, {}), environ)


def client_of(spec: HandlerSpec, environ: Mapping[str, str]) -> str:
    """Find the client tool by which an application would be held; "" where it takes none.

    Raises:
        HandlerFailed: it is not in this guest.
    """
    if spec.name not in _CLIENTS:
        return ""
    return site_of(spec, environ).client(*_CLIENTS[spec.name])


def detected(environ: Mapping[str, str]) -> Tuple[HandlerSpec, ...]:
    """Find the applications of this guest that can be held; none of them is required.

    Raises:
        HandlerFailed: the guest's file is wrong.
    """
    found = []
    for name in sorted(_MAKERS):
        spec = HandlerSpec(name, required=False)
        if make(spec, environ).detect():
            found.append(spec)
    return tuple(found)
