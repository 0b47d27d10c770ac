"""Operations of the OpenAPI document: recovery points, retention, and reconciliation with Azure."""

from shared.saga.consistency import Grade
from shared.storage.findings import FindingKind
from shared.storage.point_records import PointState
from shared.triggers.examples import HOLD, RETENTION
from shared.triggers.operation_parts import PAGE, answer_of, body_of, in_query, operation, problems, refused
from shared.triggers.queries import LONGEST_TEXT
from shared.triggers.schema_parts import MOMENT, Schema, ref


def list_points() -> Schema:
    """Describe ``GET /recovery-points``."""
    filters = [
        in_query(
            "vm", {"type": "string", "maxLength": LONGEST_TEXT, "pattern": r"\S"}, "Id or name of a VM."
        ),
        in_query("policy", ref("PolicyName"), "The name of a policy."),
        in_query("since", MOMENT, "Those created then or later."),
        in_query("until", MOMENT, "Those created before."),
        in_query("grade", {"enum": list(Grade)}, "Those of this grade."),
        in_query("state", {"enum": list(PointState)}, "Those in this state; else all but the deleted."),
        *PAGE,
    ]
    answers = {"200": answer_of("Recovery points, newest first.", "RecoveryPoints"), **problems(400)}
    return operation("list_points", "Find recovery points", answers, parameters=filters)


def get_point() -> Schema:
    """Describe ``GET /recovery-points/{point}``."""
    answers = {"200": answer_of("The recovery point.", "WholeRecoveryPoint"), **problems(400, 404)}
    return operation("get_point", "Show a recovery point with its evidence", answers)


def hold_point() -> Schema:
    """Describe ``POST /recovery-points/{point}/hold``."""
    told = "It is deleted, or has an immutable hold that is longer."
    answers = {"200": answer_of("It is held.", "RecoveryPoint"), **problems(400, 404, 413, 415)}
    answers["409"] = refused(told)
    body = body_of("Hold", HOLD=HOLD)
    return operation("hold_point", "Keep it, whatever retention says", answers, requestBody=body)


def release_point() -> Schema:
    """Describe ``POST /recovery-points/{point}/release``."""
    answers = {"200": answer_of("It is not held.", "RecoveryPoint"), **problems(400, 404)}
    answers["409"] = refused("Its hold is immutable, and its time has not come.")
    return operation("release_point", "Let retention decide about it again", answers)


def delete_point() -> Schema:
    """Describe ``DELETE /recovery-points/{point}``."""
    newest = in_query("newest", {"enum": ["allow"]}, "Said where it may be the newest good one.")
    answers = {"202": answer_of("It is being deleted.", "RecoveryPoint"), **problems(400, 404)}
    answers["409"] = refused("It is held, or it is the newest good one.")
    return operation("delete_point", "Delete a recovery point", answers, parameters=[newest])


def rebuild_points() -> Schema:
    """Describe ``POST /recovery-points/rebuild``."""
    answers = {
        "200": answer_of("What was found, and what was done or would be.", "Rebuilt"),
        **problems(400, 413, 415, 502),
    }
    example = {"subscription": "00000000-0000-0000-0000-000000000001", "resource_group": "snapshots"}
    body = body_of("Rebuild", REBUILD=example)
    told = "Rebuild lost records of recovery points from their tags"
    return operation("rebuild_points", told, answers, parameters=[PAGE[-1]], requestBody=body)


def preview_retention() -> Schema:
    """Describe ``GET /retention/{policy}``."""
    answers = {
        "200": answer_of("What would go, what not, and why.", "RetentionPreview"),
        **problems(400, 404, 502),
    }
    answers["409"] = refused("The policy says nothing of retention.")
    return operation("preview_retention", "Say what retention would do now", answers, parameters=PAGE)


def try_retention() -> Schema:
    """Describe ``POST /retention/{policy}/try``."""
    answers = {
        "200": answer_of("What would go by these rules, what stays, and why.", "RetentionPreview"),
        **problems(400, 413, 415, 502),
    }
    body = body_of("RetentionToTry", RETENTION={"retention": RETENTION})
    told = "Say what other rules would do to the recovery points of a policy; deletes nothing"
    return operation("try_retention", told, answers, parameters=PAGE, requestBody=body)


def apply_retention() -> Schema:
    """Describe ``POST /retention/{policy}/apply``."""
    answers = {"202": answer_of("It is begun.", "RetentionBegun"), **problems(400, 404)}
    answers["409"] = refused("The policy says nothing of retention.")
    return operation("apply_retention", "Have retention of a policy done now", answers)


def get_reconciliation() -> Schema:
    """Describe ``GET /reconciliation``."""
    kind = in_query("kind", {"enum": list(FindingKind)}, "Findings of this kind.")
    answers = {"200": answer_of("What does not agree.", "Reconciliation"), **problems(400)}
    told = "Show what does not agree between records and Azure"
    return operation("get_reconciliation", told, answers, parameters=[kind, *PAGE])


def reconcile() -> Schema:
    """Describe ``POST /reconciliation``."""
    answers = {"202": answer_of("It is begun.", "ReconciliationBegun")}
    return operation("reconcile", "Compare records and Azure now; deletes nothing", answers)


def delete_orphan() -> Schema:
    """Describe ``DELETE /reconciliation/{finding}``."""
    answers = {"200": answer_of("It is gone.", "Finding"), **problems(400, 404, 502)}
    answers["409"] = refused("It is no orphan (any more), or somebody is using it.")
    return operation("delete_orphan", "Delete something of Stillframe that no record names", answers)
