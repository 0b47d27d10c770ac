"""What is wrong with the use of a saga. What goes wrong in the world is an event, not an error."""


class SagaError(Exception):
    """Base of the saga's own errors."""


class IllegalTransitionError(SagaError):
    """The machine tried to go where ``transitions.py`` does not allow: a defect of the machine."""

    def __init__(self, saga_id: str, from_phase: str, to_phase: str) -> None:
        super().__init__(f"saga {saga_id}: {from_phase} may not be followed by {to_phase}")
        self.saga_id = saga_id
        self.from_phase = from_phase
        self.to_phase = to_phase


class UnreadableRecordError(SagaError):
    """A stored record is not of a shape that this version reads; ``path`` says where, ``expected`` what."""

    def __init__(self, path: str, expected: str) -> None:
        super().__init__(f"{path}: expected {expected}")
        self.path = path
        self.expected = expected
