"""Nodes on the simulator's store do, tell and keep what they do on the database."""

import contextlib
import random
from collections.abc import Callable

import pytest
from world import Host, World

from meshchat.core.events import AddContact, Effect, JoinRoom, MarkRead, Refused, Send
from meshchat.core.identity import public_room_key
from meshchat.core.limits import Limits
from meshchat.core.model import NodeStatus, Room, contact_chat
from meshchat.core.neighbours import Neighbours
from meshchat.core.ports import Store
from meshchat.errors import UsageError
from meshchat.sim.memory import MemoryStore, Pool
from meshchat.store import SqlStore

NAMES = ("Aida", "Bolat", "Carrier", "Dana", "Erlan", "Farida")
SMALL = Limits(store_bytes=48 * 1024)  # filled in no time: eviction decides what arrives
STEPS = 60
LONG_S = 9 * 86_400.0  # mail and proofs of then have expired

Life = tuple[list[list[object]], list[dict[str, object]], int]


def life(seed: int, make_store: Callable[[], Store], limits: Limits | None) -> Life:
    """Some days of six people: talk, rooms, meetings, crashes. What each was told and has."""
    chance = random.Random(seed)
    world = World(f"life {seed}", make_store)
    hosts = [world.host(name, limits) for name in NAMES]
    for one, other in ((0, 1), (0, 3), (1, 4), (3, 5)):
        hosts[one].do(AddContact(hosts[other].node.card_text()))
        hosts[other].do(AddContact(hosts[one].node.card_text()))
    for host in hosts[1:5]:
        host.do(JoinRoom("square", public_room_key("square"), False))
    for step in range(STEPS):
        one, other = chance.sample(hosts, 2)
        match chance.randrange(8):
            case 0 | 1:
                friends = [host for host in hosts if host is not one and knows(one, host)]
                say(one, [contact_chat(host.node.fp) for host in friends], chance, step)
            case 2:
                say(one, [b"r" + room.rid for room in rooms(one)], chance, step)
            case 3:
                one.crash()
            case 4:
                world.run(chance.choice((60.0, 4_000.0, 90_000.0)))
                for summary in one.store.chats():
                    one.do(MarkRead(summary.chat, 2**40))
            case _:
                world.meet(one, other, chance.choice((0.5, 20.0, 200.0)))
    found = [kept(host, world) for host in hosts]
    world.run(LONG_S)
    return (
        [comparable(host.told) for host in hosts],
        found + [kept(host, world) for host in hosts],
        world.bytes_moved,
    )


def comparable(told: list[Effect]) -> list[object]:
    """Errors are never equal: their reasons are."""
    return [
        (effect.command, effect.error.reason) if isinstance(effect, Refused) else effect
        for effect in told
    ]


def rooms(host: Host) -> list[Room]:
    return host.store.rooms()


def knows(one: Host, other: Host) -> bool:
    return one.store.contact(other.node.fp) is not None


def say(host: Host, chats: list[bytes], chance: random.Random, step: int) -> None:
    """To one of these, if it may be; a full store or outbox refuses at both stores."""
    if chats:
        size = chance.choice((5, 200, 1_500, 6_000))
        with contextlib.suppress(UsageError):
            host.do(Send(chance.choice(chats), f"{step} ".ljust(size, ".")))


def kept(host: Host, world: World) -> dict[str, object]:
    """What people and neighbours can see of a store."""
    store = host.store
    chats = store.chats()
    held = {eid for eid, _ in store.offered(0)}
    assert host.node._neighbours._transfers.shelf.everything() == held.union(
        store.released(world.wall)
    )
    return {
        "chats": chats,
        "messages": [store.messages(summary.chat) for summary in chats],
        "journeys": [
            store.journey(one.id) for summary in chats for one in store.messages(summary.chat)
        ],
        "offered": store.offered(int(world.wall // 3_600)),
        # Those due at the same instant are in order of arrival here and by id there.
        "proofs": sorted(store.released(world.wall)),
        "usage": store.usage(),
        "status": host.node.status(world.now),
    }


def store_full(found: dict[str, object]) -> int:
    status = found["status"]
    assert isinstance(status, NodeStatus)
    return status.counters.get("store_full", 0)


@pytest.mark.parametrize("limits", [None, SMALL])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_life_is_the_same_on_both(
    seed: int, limits: Limits | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every word told to every person, every list kept, every byte sent. What neighbours are
    offered is what is held, without being taken from the store anew."""
    renew = Neighbours.renew
    monkeypatch.setattr(
        Neighbours, "renew", lambda self, now: self._renewed < 0 and renew(self, now)
    )
    pool = Pool()
    on_database = life(seed, SqlStore.memory, limits)
    in_plain_data = life(seed, lambda: MemoryStore(pool), limits)
    for what in (0, 1):
        for one, other in zip(on_database[what], in_plain_data[what], strict=True):
            assert one == other
    if limits is SMALL:
        assert any(store_full(one) for one in in_plain_data[1]), "nothing had to make room"
    assert on_database[2] == in_plain_data[2] > 100_000
