"""`agent.pyz check`: what would stop the agent in this guest, one line each.

It changes nothing, in the guest or in its queues: no message is received, hidden or added.
Exit codes: 0 nothing would stop the agent (there may be warnings), 1 something would, 2 a wrong command line.
"""

import json
import os
import sys
from typing import List, Mapping, Sequence, Tuple

from agent import VERSION, config, enrolment, guest_config
from agent.checks import FAILED, OK, WARNING, Finding, guest, rights, stops, way
from agent.config import Bootstrap, Settings
from agent.queues import InsecureUrl


def main(environ: Mapping[str, str], endpoints: Sequence[str] = (), as_json: bool = False) -> int:  # noqa: FBT001, FBT002 - a command line's switch
    """Print the findings; returns 1 if one of them would stop the agent."""
    findings = look(environ, endpoints)
    if as_json:
        members = {"version": VERSION, "well": not stops(findings)}
        members["findings"] = [dict(finding._asdict()) for finding in findings]
        print(json.dumps(members, indent=1))
    else:
        for finding in findings:
            told = ". ".join(part for part in (finding.detail, finding.advice) if part)
            print("{:8}{:13}{}".format(finding.verdict, finding.name, told))
    return 1 if stops(findings) else 0


def look(environ: Mapping[str, str], endpoints: Sequence[str] = ()) -> List[Finding]:
    """Look at the guest, then at the way to the storage, then at what may be done there.

    ``endpoints`` are URLs of services to look at besides those of the enrolment: the way can be tried before
    there is one.
    """
    findings = [
        Finding(OK, "agent", "{} at {}".format(VERSION, os.path.realpath(sys.argv[0]))),
        guest.python(),
    ]
    findings += guest.rights_here(environ)
    try:
        guest_config.load(environ)
        settings = config.read_settings(environ)
    except config.BadSetting as error:
        advice = "Correct it: the agent starts with no wrong setting"
        return [*findings, Finding(FAILED, "settings", str(error), advice)]
    findings += [*guest.state(settings.state_dir), *guest.filesystems(environ, settings.state_dir)]
    findings += guest.applications(environ)
    enrolled, bootstrap = _enrolment(environ)
    findings.append(enrolled)
    urls = way.endpoints_of(bootstrap, endpoints)
    if urls:
        findings += way.proxies(environ)
    findings += _storage(bootstrap, settings, urls)
    return findings


def _enrolment(environ: Mapping[str, str]) -> Tuple[Finding, Bootstrap]:
    """Read who this guest is: by the bootstrap of a run command if there is one here, else by its file."""
    try:
        if environ.get(config.BOOTSTRAP):
            where, bootstrap = config.BOOTSTRAP, config.read_bootstrap(environ[config.BOOTSTRAP])
        else:
            where, bootstrap = enrolment.path_of(environ), enrolment.load(environ)
    except config.BadSetting as error:
        advice = "A run command brings its own; a resident agent needs one"
        return Finding(WARNING, "enrolment", str(error), advice), way.NOBODY
    told = "{}: key version {}, {}".format(where, bootstrap.key_version, bootstrap.credential)
    return Finding(OK, "enrolment", told), bootstrap


def _storage(bootstrap: Bootstrap, settings: Settings, urls: Sequence[way.Endpoint]) -> List[Finding]:
    findings: List[Finding] = []
    date, blocked = "", False
    for endpoint in urls:
        try:
            seen = way.look(endpoint)
        except InsecureUrl as error:
            told = Finding(FAILED, endpoint.label + "-url", str(error), "Enrol it again with https URLs")
            seen = way.Seen([told], "")
        findings += seen.findings
        date = date or seen.date
        blocked = blocked or (endpoint.needed and stops(seen.findings))
    if date:
        findings.append(way.clock(date))
    if bootstrap.command_queue:
        findings += rights.look(bootstrap, settings, reachable=not blocked)
    return findings
