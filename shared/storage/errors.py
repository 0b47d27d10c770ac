"""What storage says no to. One class per cause, with the fields that a caller needs."""


class StorageError(Exception):
    """Base of the storage's own errors."""


class SagaExists(StorageError):
    """A saga of this id was created before, by another write."""

    def __init__(self, saga_id: str) -> None:
        super().__init__(f"saga {saga_id} exists already")
        self.saga_id = saga_id


class SagaNotFound(StorageError):
    """There is no saga of this id."""

    def __init__(self, saga_id: str) -> None:
        super().__init__(f"there is no saga {saga_id}")
        self.saga_id = saga_id


class SagaChanged(StorageError):
    """Another write came first: load the saga again and decide again."""

    def __init__(self, saga_id: str) -> None:
        super().__init__(f"saga {saga_id} was changed by another write")
        self.saga_id = saga_id


class RunExists(StorageError):
    """A different run of this id was created before."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"run {run_id} exists already")
        self.run_id = run_id


class RunNotFound(StorageError):
    """There is no run of this id (or it is not wholly created yet)."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"there is no run {run_id}")
        self.run_id = run_id


class IdempotencyMismatch(StorageError):
    """The idempotency key was used before for a different request."""

    def __init__(self, idempotency_key: str, run_id: str) -> None:
        super().__init__(
            f"idempotency key {idempotency_key!r} belongs to the different request of run {run_id}"
        )
        self.idempotency_key = idempotency_key
        self.run_id = run_id


class PolicyNotFound(StorageError):
    """There is no policy of this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no policy {name}")
        self.name = name


class PolicyChanged(StorageError):
    """The policy is not the version that the caller's ETag names."""

    def __init__(self, name: str) -> None:
        super().__init__(f"policy {name} was changed by another write")
        self.name = name


class PointNotFound(StorageError):
    """There is no recovery point of this id."""

    def __init__(self, point_id: str) -> None:
        super().__init__(f"there is no recovery point {point_id}")
        self.point_id = point_id


class PointChanged(StorageError):
    """Another write to the recovery point came first: read it again and decide again."""

    def __init__(self, point_id: str) -> None:
        super().__init__(f"recovery point {point_id} was changed by another write")
        self.point_id = point_id


class FindingNotFound(StorageError):
    """There is no finding of this id."""

    def __init__(self, finding_id: str) -> None:
        super().__init__(f"there is no finding {finding_id}")
        self.finding_id = finding_id


class MessageTooLarge(StorageError):
    """The text does not fit into one queue message. Sizes in bytes, before base64."""

    def __init__(self, queue: str, size: int, limit: int) -> None:
        super().__init__(f"a message of {size} bytes does not fit into queue {queue} (at most {limit})")
        self.queue = queue
        self.size = size
        self.limit = limit


class DelayTooLong(StorageError):
    """Queue Storage hides a message for at most 7 days. Times in ms."""

    def __init__(self, queue: str, delay_ms: int, limit_ms: int) -> None:
        super().__init__(f"a message to {queue} cannot be delayed by {delay_ms} ms (at most {limit_ms})")
        self.queue = queue
        self.delay_ms = delay_ms
        self.limit_ms = limit_ms


class QueueBeingDeleted(StorageError):
    """A queue was deleted a moment ago: for about 30 s there can be none of its name."""

    def __init__(self, queue: str) -> None:
        super().__init__(f"queue {queue} was deleted a moment ago: try again in 30 s")
        self.queue = queue


class RowTooLarge(StorageError):
    """A record does not fit into one table entity. Sizes in characters of its JSON."""

    def __init__(self, row: str, size: int, limit: int) -> None:
        super().__init__(f"row {row}: {size} characters do not fit into one entity (at most {limit})")
        self.row = row
        self.size = size
        self.limit = limit


class TooManyRows(StorageError):
    """One transaction may touch at most 100 rows."""

    def __init__(self, partition: str, rows: int, limit: int) -> None:
        super().__init__(f"partition {partition}: {rows} rows in one transaction (at most {limit})")
        self.partition = partition
        self.rows = rows
        self.limit = limit


class UnusableKey(StorageError):
    """The text may not be a table key: empty, too long, or with a character that Table Storage forbids."""

    def __init__(self, key: str) -> None:
        super().__init__(f"{key!r} may not be used as a table key")
        self.key = key


class UnknownVersion(StorageError):
    """Data are of a version of their form that this code does not know; ``known`` is the newest it does."""

    def __init__(self, form: str, version: object, known: int) -> None:
        newer = type(version) is int and version > known
        by = "a newer version of Stillframe wrote it" if newer else "no version of Stillframe writes that"
        super().__init__(f"version {version!r} of a {form} is not known here, up to {known} are: {by}")
        self.form = form
        self.version = version
        self.known = known
        self.newer = newer


class UnknownSchema(StorageError):
    """The row was written by a version of Stillframe that this one does not know; it is left as it is."""

    def __init__(self, row: str, why: UnknownVersion) -> None:
        super().__init__(f"row {row}: {why}")
        self.row = row
        self.version = why.version


class UnreadableSaga(StorageError):
    """A saga is stored in a form that this version of Stillframe does not read; it is left as it is."""

    def __init__(self, saga_id: str, path: str, expected: str) -> None:
        super().__init__(
            f"saga {saga_id} cannot be read ({path}: expected {expected}): "
            "a newer version of Stillframe wrote it, or it was damaged"
        )
        self.saga_id = saga_id
        self.path = path


class NewerMessage(StorageError):
    """A message was written by a newer version of Stillframe; it is put off until that one is back."""

    def __init__(self, queue: str, why: UnknownVersion) -> None:
        super().__init__(f"a message of queue {queue}: {why}")
        self.queue = queue
        self.version = why.version


class TornRead(StorageError):
    """A saga's rows were changing under the read, again and again."""

    def __init__(self, saga_id: str) -> None:
        super().__init__(f"saga {saga_id} could not be read in one piece")
        self.saga_id = saga_id


class MissingSetting(StorageError):
    """An app setting that names a storage connection is missing."""

    def __init__(self, setting: str, alternatives: tuple[str, ...] = ()) -> None:
        others = f" (or {', '.join(alternatives)})" if alternatives else ""
        super().__init__(f"the app setting {setting}{others} is missing")
        self.setting = setting
        self.alternatives = alternatives


class UnusableSetting(StorageError):
    """An app setting is there but makes no sense; ``problem`` says why, without quoting its value."""

    def __init__(self, setting: str, problem: str) -> None:
        super().__init__(f"the app setting {setting} {problem}")
        self.setting = setting
        self.problem = problem


class CountsNotKept(StorageError):
    """The row of a day's counts changed under every try to add to it."""

    def __init__(self, name: str, day: str) -> None:
        super().__init__(f"the counts {name} of {day} could not be added to")
        self.name = name
        self.day = day


class ReservationsBusy(StorageError):
    """A row of reservations changed under every try to change it."""

    def __init__(self, row: str) -> None:
        super().__init__(f"the reservations {row} could not be changed: others change them all the time")
        self.row = row


class GroupNotFound(StorageError):
    """The run has no group of this name."""

    def __init__(self, run_id: str, name: str) -> None:
        super().__init__(f"run {run_id} has no group {name}")
        self.run_id = run_id
        self.name = name


class GroupBusy(StorageError):
    """The row of a group changed under every try to change it."""

    def __init__(self, run_id: str, name: str) -> None:
        super().__init__(f"the group {name} of run {run_id} could not be changed: others do all the time")
        self.run_id = run_id
        self.name = name


class TurnsBusy(StorageError):
    """The turns of a run changed under every try to pass one on."""

    def __init__(self, run_id: str) -> None:
        super().__init__(
            f"the turn of run {run_id} could not be passed on: others pass theirs on all the time"
        )
        self.run_id = run_id
