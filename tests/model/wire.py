"""What travels between app and guest, through the real writers and readers of both sides."""

from functools import cache

import agent
from agent import bodies, orders
from agent.orders import parse
from agent.records import Answer
from shared import protocol
from shared.protocol import Command, Expired
from tests.model.interning import Table
from tests.model.scenes import SESSION_KEY, VM
from tests.model.times import NOW

#: Commands without their expiry, which moves; answers of agents.
COMMANDS: Table[str] = Table()
ANSWERS: Table[Answer] = Table()

_commands: dict[int, Command] = {}


def sent(text: str) -> tuple[int, int]:
    """Take a signed command apart: its number, and when it expires (ms from now)."""
    command = protocol.decode_command(text, VM, lambda _saga: SESSION_KEY, 0)
    lasting = command._replace(expires_at=0)
    number = COMMANDS.number(protocol.encode_command(lasting, SESSION_KEY))
    _commands[number] = lasting
    return number, command.expires_at - NOW


@cache
def received(number: int, expires_in: int) -> orders.Order | None:
    """Read a command as the agent does; None for one that has expired."""
    text = protocol.encode_command(_commands[number]._replace(expires_at=NOW + expires_in), SESSION_KEY)
    try:
        return parse(protocol.decode_command(text, VM, lambda _saga: SESSION_KEY, NOW))
    except Expired:
        return None


def kind(number: int) -> str:
    """Give the kind of a command, with its generation and sequence, for people."""
    command = _commands[number]
    return f"{command.kind} (generation {command.generation}, sequence {command.sequence})"


@cache
def ack_text(number: int, boot: int, *, resident: bool) -> str:
    """Write an answer as the agent does."""
    guest = bodies.Guest(
        vm=VM,
        boot_id=f"boot-{boot}",
        system="linux",
        python="3.9.2",
        version=agent.VERSION,
        resident=resident,
    )
    return protocol.encode_ack(bodies.ack(ANSWERS.value(number), guest, NOW), SESSION_KEY)


def ack_key(number: int) -> str:
    """Give the key of the event that an answer becomes."""
    answer = ANSWERS.value(number)
    return f"{answer.kind}:{answer.generation}:{answer.sequence}"
