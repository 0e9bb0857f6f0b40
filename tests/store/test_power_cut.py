"""The power goes at 150 places of a chat: nothing that was committed is lost, nothing is damaged.

With ``synchronous = NORMAL`` the same chat loses messages, so this test can fail.
"""

import hashlib
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from meshchat.core.events import AddContact, JoinRoom, Send
from meshchat.core.identity import public_room_key
from meshchat.core.model import Prekey, Room, contact_chat, room_chat
from meshchat.core.ports import Store
from meshchat.errors import StoreError
from meshchat.sim.memory import MemoryStore
from meshchat.store import SqlStore

pytest.importorskip("apsw", reason="the logging disk needs apsw-sqlite3mc")
sys.path.insert(0, str(Path(__file__).parents[1] / "core"))

from power import Log, LoggedDatabase, image
from world import Host, World

KEY = bytes(range(32))
CUTS = 150
CUTS_OF_THE_WEAKER = 40
MESSAGES = 24


def digest(store: SqlStore) -> str:
    """Of every row of every table."""
    db = store._db
    tables = db.rows(
        """SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'
        ORDER BY name"""  # what a search index holds stands in plain tables beside it
    )
    state = [(name, sorted(map(repr, db.rows(f"SELECT * FROM {name}")))) for (name,) in tables]
    return hashlib.blake2b(repr(state).encode()).hexdigest()


class Chat:
    """Two nodes that talk, one of them on a logged disk."""

    def __init__(self, synchronous: str) -> None:
        self.log = Log()
        self.states: dict[int, str] = {}
        self.store = SqlStore(LoggedDatabase(self.log, KEY, synchronous))
        stores: Iterator[Store] = iter((self.store, MemoryStore()))
        transaction = self.store.transaction

        @contextmanager
        def counted() -> Iterator[None]:
            n = len(self.states) + 1
            with transaction():
                yield
                self.store.put("step", b"%d" % n)
            self.log.note("commit", at=n)
            self.states[n] = digest(self.store)

        self.store.transaction = counted  # type: ignore[method-assign]
        self._talk(World(make_store=lambda: next(stores)))

    def _talk(self, world: World) -> None:
        a, b = world.host("Aida"), world.host("Bolat")
        self.begins = len(self.log.ops)
        for one, other in ((a, b), (b, a)):
            one.do(AddContact(other.node.card_text()))
        room = a.do(JoinRoom("yard", public_room_key("yard"), False))
        assert isinstance(room, Room)
        world.link(a, b)
        world.run(1)
        for n in range(MESSAGES):
            self._say(a, contact_chat(b.node.fp), f"{n} " + "қ" * 40 * (n % 7))
            self._say(b, contact_chat(a.node.fp), f"answer {n}")
            if n % 5 == 0:
                self._say(a, room_chat(room.rid), f"all {n}")
            world.run(10)
            if n % 6 == 3:
                self.store.truncate_wal()
            elif n % 6 == 5:
                self.store.checkpoint()

    @staticmethod
    def _say(host: Host, chat: bytes, text: str) -> None:
        host.do(Send(chat, text))

    def after_cut(self, cut: int, chance: random.Random, folder: Path) -> tuple[int, int, bool]:
        """``(last acknowledged step, step found, whether what is found is sound)``."""
        done = [op.at for op in self.log.ops[:cut] if op.what == "commit"]
        for name, data in image(self.log.ops, cut, chance).items():
            (folder / name).write_bytes(data)
        try:
            store = SqlStore.open(folder / "store", KEY)
        except StoreError:
            return done[-1], 0, False
        # The check of pages reads past the log, where a checkpoint was cut in its middle.
        store.truncate_wal()
        found = int(store.get("step") or b"0")
        sound = not store.problems() and (not found or digest(store) == self.states[found])
        store.close()
        return done[-1], found, sound


def cut_often(synchronous: str, cuts: int, folder: Path) -> tuple[int, int]:
    """How many of the cuts lost something committed, and how many damaged the store."""
    chat, chance = Chat(synchronous), random.Random(3)
    lost = damaged = 0
    for n in range(cuts):
        place = folder / str(n)
        place.mkdir()
        cut = chance.randrange(chat.begins, len(chat.log.ops))
        acknowledged, found, sound = chat.after_cut(cut, chance, place)
        damaged += not sound
        lost += found < acknowledged
    return lost, damaged


def test_the_shipped_store_loses_nothing(tmp_path: Path) -> None:
    """As shipped: each cut leaves the last committed state, or the one being written."""
    assert cut_often("", CUTS, tmp_path) == (0, 0)


def test_less_syncing_would_lose_messages(tmp_path: Path) -> None:
    """NORMAL: most cuts roll back what was said to be safe. This is why it is FULL."""
    lost, damaged = cut_often("NORMAL", CUTS_OF_THE_WEAKER, tmp_path)
    assert lost > CUTS_OF_THE_WEAKER // 3 and damaged == 0


def test_destroyed_prekeys_are_gone(tmp_path: Path) -> None:
    """Two weeks of a node: each daily secret that was destroyed is in no file any more.

    The file is unencrypted here, for encryption would hide what somebody with the key could read.
    """
    from meshchat.database import Database

    path = tmp_path / "s"
    store = SqlStore(Database(str(path), None))
    seen: dict[bytes, Prekey] = {}
    world = World(make_store=lambda: store)
    world.host("Aida")

    def look() -> bytes:
        seen.update((key.secret, key) for key in store.prekeys())
        return path.read_bytes() + path.with_name("s-wal").read_bytes()

    for _ in range(14):
        image = look()
        world.run(86_400)
    live = {key.secret for key in store.prekeys()}
    assert any(secret in image for secret in seen)  # else this finds nothing
    store.truncate_wal()
    image = look()
    gone = [secret for secret in seen if secret not in live]
    assert len(gone) >= 4
    assert [secret.hex() for secret in gone if secret in image] == []
    assert all(secret in image for secret in live)
    store.close()
