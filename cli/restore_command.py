"""``stillframe restore``: disks and a VM from a recovery point."""

import time
from typing import Annotated

import typer

from cli.config import Output
from cli.errors import BadUsage
from cli.restoring.arm import Arm, arm_endpoint
from cli.restoring.finding import by_tags, over_the_api
from cli.restoring.making import Making
from cli.restoring.plan import Plan, Wanted, plan, template
from cli.restoring.points import GRADES, Point
from cli.session import Session, session_of
from cli.shown import Show, moment, said


def restore(  # noqa: PLR0917 - the options of one command
    context: typer.Context,
    point: Annotated[str, typer.Argument(help="The recovery point's id (its tag stillframe-saga).")],
    group: Annotated[str, typer.Option("--group", "-g", help="The resource group to restore into.")],
    subscription: Annotated[
        str, typer.Option(help="The subscription to restore into; without it that of the VM.")
    ] = "",
    name: Annotated[str, typer.Option(help="The new VM's name; its disks begin with it.")] = "",
    subnet: Annotated[str, typer.Option(help="ARM id of the subnet for the new VM.")] = "",
    location: Annotated[str, typer.Option(help="From the copies in this region.")] = "",
    zone: Annotated[str, typer.Option(help="Another zone: 1, 2, 3 or none.")] = "",
    size: Annotated[str, typer.Option(help="Another size of VM.")] = "",
    sku: Annotated[str, typer.Option(help="Another kind of disk, for all of them.")] = "",
    encryption_set: Annotated[str, typer.Option(help="ARM id of a disk encryption set.")] = "",
    tag: Annotated[list[str] | None, typer.Option(help="NAME=VALUE on everything that is made.")] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="With --disks-only: this disk (os or its LUN) alone.")
    ] = None,
    min_grade: Annotated[str, typer.Option(help="Refuse one that is less consistent than this.")] = "",
    from_group: Annotated[
        list[str] | None,
        typer.Option("--from", help="Without the app: look in this SUBSCRIPTION/RESOURCE-GROUP."),
    ] = None,
    generation: Annotated[int | None, typer.Option(help="With --from: of this generation.")] = None,
    disks_only: Annotated[bool, typer.Option("--disks-only", help="Make disks, and no VM.")] = False,
    incomplete: Annotated[
        bool, typer.Option("--incomplete", help="Even if some of its disks are gone.")
    ] = False,
    template_only: Annotated[
        bool,
        typer.Option("--template-only", help="Print a template of Azure Resource Manager; make nothing."),
    ] = False,
    clean_up: Annotated[
        bool, typer.Option("--clean-up", help="When it fails, delete what it has made.")
    ] = False,
    timeout: Annotated[int, typer.Option(min=1, help="Seconds that it may take.")] = 1800,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do it. Without this it only says what it would do.")
    ] = False,
) -> None:
    """Make disks and a VM of a recovery point. Without --yes it only shows what it would make."""
    session = session_of(context)
    if min_grade and min_grade not in GRADES:
        raise BadUsage(f"--min-grade {min_grade}: expected {', '.join(reversed(GRADES))}")
    if generation is not None and not from_group:
        raise BadUsage("--generation: goes with --from; the app knows it itself")
    if only and not disks_only:
        raise BadUsage("--only: goes with --disks-only")
    with Arm(arm_endpoint(session.environment), session.environment, transport=session.transport) as arm:
        if from_group:
            found = by_tags(arm, from_group, point, generation=generation, location=location)
        else:
            with session.client() as client:
                found = over_the_api(client, arm, point, location=location)
        wanted = Wanted(
            subscription=subscription or _subscription_of(found),
            group=group,
            name=name or f"{_name_of(found)}-restored"[:64],
            subnet=subnet,
            size=size,
            sku=sku,
            zone=zone,
            min_grade=min_grade,
            disks_only=disks_only,
            incomplete=incomplete,
            only=tuple(only or ()),
            encryption_set=encryption_set,
            tags=dict(_tag(each) for each in tag or ()),
        )
        planned = plan(found, wanted)
        show = _show(session)
        if template_only:
            show.json(template(planned))
            return
        making = Making(arm, session.note, time.monotonic() + timeout)
        if yes:
            _describe(session, planned)
            making.carry_out(planned, clean_up=clean_up)
        _report(session, show, planned, done=yes)


def _show(session: Session) -> Show:
    """Where results go; the app need not be known."""
    output = session.given.output or session.environment.get("STILLFRAME_OUTPUT") or Output.TABLE
    try:
        return Show(Output(output), color=session.color)
    except ValueError:
        raise BadUsage(f"output {output}: expected table or json") from None


def _describe(session: Session, planned: Plan) -> None:
    point = planned.point
    session.note(f"recovery point {point.point_id} of {_name_of(point)}, {moment(point.created)}")
    session.note(f"grade {said(point.grade)}, {len(point.disks)} disks, in {point.shape.location}")
    for note in planned.notes:
        session.note(f"note: {note}")


def _report(session: Session, show: Show, planned: Plan, *, done: bool) -> None:
    point = planned.point
    if show.is_json:
        show.json(
            {
                "point": point.point_id,
                "generation": point.generation,
                "vm": point.vm_id or None,
                "grade": point.grade or None,
                "created_at": point.created,
                "restored": done,
                "resources": [
                    {"id": each.resource_id, "what": each.what, "body": each.body}
                    for each in planned.resources
                ],
                "notes": list(planned.notes),
            }
        )
        return
    if not done:
        _describe(session, planned)
    rows = [(each.kind.rpartition("/")[2], each.name, each.what) for each in planned.resources]
    show.table(("made" if done else "would make", "name", "what"), rows, flexible="what")
    if done:
        session.note("Now look whether its applications are well (docs/restore.md).")
    else:
        session.note("Nothing was made. With --yes it is.")


def _tag(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise BadUsage(f"--tag {text}: expected NAME=VALUE")
    return name, value


def _subscription_of(point: Point) -> str:
    return (point.vm_id or point.disks[0].source_id).split("/")[2]


def _name_of(point: Point) -> str:
    return point.vm_id.rpartition("/")[2] or f"sf-{point.point_id}"
