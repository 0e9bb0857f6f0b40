"""What the tests of files and lifetimes share."""

from mallory import totals_match
from world import Host, World

from meshchat.core.envelope import EID_BYTES
from meshchat.core.events import (
    AddContact,
    FileComplete,
    SendFile,
)
from meshchat.core.model import Held, Kind, Message, OpenFile, contact_chat
from meshchat.core.sealed import CHUNK_BYTES, FILE_HASH_BYTES

DAY, HOUR = 86_400.0, 3_600.0


def befriend(one: Host, other: Host) -> None:
    one.do(AddContact(other.node.card_text()))
    other.do(AddContact(one.node.card_text()))


def content(size: int, seed: int = 7) -> bytes:
    """Bytes that differ from place to place."""
    return b"".join((seed + at).to_bytes(4, "little") for at in range(size // 4 + 1))[:size]


def whole(count: int) -> int:
    """The size of a file that fills so many chunks, with no byte to spare."""
    return count * CHUNK_BYTES - FILE_HASH_BYTES - (count - 1) * EID_BYTES


def give(host: Host, to: Host, data: bytes, name: str = "report.pdf", life: float = 0) -> Message:
    message = host.do(SendFile(contact_chat(to.node.fp), name, data, life))
    assert isinstance(message, Message)
    return message


def now_of(host: Host, message: Message) -> Message:
    found = host.store.message(message.id)
    assert found is not None
    return found


def under_way(host: Host, message: Message) -> OpenFile:
    return next(file for file in host.store.open_files() if file.mid == message.id)


def chunks(host: Host, message: Message) -> tuple[bytes, ...]:
    return under_way(host, message).manifest.chunks


def complete(host: Host) -> list[tuple[bytes, int]]:
    return [(tell.message.id, tell.size) for tell in host.told if isinstance(tell, FileComplete)]


def counters(host: Host) -> dict[str, int]:
    return host.node.status(host.world.now).counters


def handover(world: World, one: Host, other: Host, *eids: bytes) -> None:
    """As if ``other`` had carried these envelopes from ``one``."""
    for eid in eids:
        held = one.store.envelope(eid)
        assert held is not None
        moved = held._replace(kind=Kind.CARRIED, origin=b"somebody")
        with other.store.transaction():
            other.store.add_envelopes([moved], world.wall)
    other.crash()


def tidy(host: Host) -> None:
    """Nothing is left of any file under way."""
    assert host.store.open_files() == []
    assert totals_match(host)
    left = (
        "SELECT count(*) FROM pieces WHERE mid NOT IN (SELECT id FROM messages WHERE reason = '')"
    )
    assert host.store._db.rows(left) == [(0,)], "only whole files are kept"


def friends_and_carrier(world: World) -> tuple[Host, Host, Host]:
    """Aida and Bolat are friends; a stranger carries."""
    a, b, c = world.host("Aida"), world.host("Bolat"), world.host("Carrier")
    befriend(a, b)
    world.run(1)
    return a, b, c


def held_by(host: Host, message: Message) -> Held:
    held = host.store.envelope(now_of(host, message).eid)
    assert held is not None
    return held
