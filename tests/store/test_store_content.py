"""Search, and that what was destroyed is in no file any more: both stores, and the database."""

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from store_values import ANNA, BORIS, CHAT, KEY, AnyStore, b16, message, piece

from meshchat import schema
from meshchat.core.model import (
    Act,
    ChatOptions,
    Manifest,
    OpenFile,
    Reaction,
    Step,
    Version,
)
from meshchat.core.words import words
from meshchat.database import Database
from meshchat.store import SqlStore
from meshchat.text import Clean

ROOM = b"r" + b16(7)


def ids(found: list[object]) -> list[int]:
    return [int.from_bytes(one.id, "big") for one in found]  # type: ignore[attr-defined]


def write(store: AnyStore, *texts: str, chat: bytes = CHAT, first: int = 1) -> None:
    with store.transaction():
        for n, text in enumerate(texts, first):
            store.add_message(message(n, text=Clean(text), chat=chat))


def test_search(store: AnyStore) -> None:
    """All words by their beginnings, newest first, in pages, in one chat or all."""
    write(store, "Қала үлкен", "кала маленькая", "большой город", "Ёлка в городе")
    write(store, "город у моря", chat=ROOM, first=5)
    assert ids(store.search("қала")) == ids(store.search("КАЛА")) == [2, 1]
    assert ids(store.search('"қала"')) == [1]
    assert ids(store.search("город")) == [5, 4, 3]
    assert ids(store.search("город", chat=CHAT)) == [4, 3]
    assert ids(store.search("город", chat=b"c" + BORIS)) == []
    assert ids(store.search("гор ел")) == [4]
    (last,) = store.search("город", limit=1)
    assert ids(store.search("город", limit=1, before=last.seq)) == [4]
    for nothing in ("", "  ", '"', "*", "ород", "город -море", "NOT"):
        assert store.search(nothing) == [], nothing


def test_quotes_reach_beyond_a_page(store: AnyStore) -> None:
    """What only looks alike does not use up the limit."""
    write(store, "қала", *["кала"] * 450)
    assert ids(store.search('"қала"', limit=3)) == [1]


def test_search_follows_changes(store: AnyStore) -> None:
    """Edits, deletion, trimming and a rollback."""
    write(store, "one apple", "two apples", "three pears")
    with store.transaction():
        store.change_message(message(1).id, text=Clean("one plum"))
        store.drop_messages([message(2).id], 0.0)
    assert ids(store.search("appl")) == [] and ids(store.search("plum")) == [1]
    with pytest.raises(RuntimeError), store.transaction():
        store.drop_messages([message(1).id, message(3).id], 9.0)
        raise RuntimeError
    assert ids(store.search("plum")) == [1] and not store.buried(message(1).id)
    with store.transaction():
        assert store.trim(CHAT, 1) == [message(1).id]
    assert store.search("plum") == [] and ids(store.search("pear")) == [3]


def test_search_knows_what_a_part_undid(store: AnyStore) -> None:
    """Inside of a transaction too, and where the number of a message is used again."""
    with store.transaction():
        store.add_message(message(1, text=Clean("apple")))
        with pytest.raises(RuntimeError), store.savepoint():
            store.add_message(message(2, text=Clean("plum")))
            raise RuntimeError
        assert store.search("plum") == []
        with pytest.raises(RuntimeError), store.savepoint():
            store.add_message(message(3, text=Clean("cherry")))
            raise RuntimeError
        store.add_message(message(4, text=Clean("pear")))
        store.change_message(message(1).id, text=Clean("quince"))
    found = [ids(store.search(word)) for word in ("plum", "cherry", "apple", "pear", "quince")]
    assert found == [[], [], [], [4], [1]]


def test_destroyed_messages_do_not_come_back(store: AnyStore) -> None:
    """Until they are forgotten; those that were trimmed may."""
    write(store, "a", "b")
    with store.transaction():
        assert store.drop_messages([message(1).id, b"?" * 8], 50.0) == [message(1).id]
        assert store.add_message(message(1)) is None
        store.forget_buried(49.0, 0.0)
        assert store.buried(message(1).id)
        store.forget_buried(50.0, 0.0)
        assert store.add_message(message(1)) is not None


SECRETS = ("uraniumdepot", "zebraquark", "шифровка", "қоймакілті", "verylongwordforfiles")


def everything_of(store: SqlStore, n: int) -> None:
    """A message with all that can belong to one, each part with words of its own."""
    mid = message(n).id
    first, second, emoji, file, early = (f"{word}{n}" for word in SECRETS)
    with store.transaction():
        store.add_message(message(n, text=Clean(f"{first} meets {n}"), vanish_s=5))
        store.add_version(mid, Version(1, b"", Clean(first), 0.0), 9)
        store.add_version(mid, Version(2, b"n", Clean(second), 0.0), 9)
        store.change_message(mid, text=Clean(f"{second} meets {n}"))
        store.save_reaction(Reaction(mid, ANNA, Clean(emoji), 1, b"n", 0.0, False))
        store.add_step(mid, Step(1.0, f"step{first}"))
        store.save_file(mid, file.encode() * 20)
        manifest = Manifest(b"k" * 32, 1, Clean(file), b"h" * 32)
        store.save_open_file(OpenFile(mid, ANNA, False, manifest))
        store.save_pieces(mid, [piece(0, file.encode(), file.encode().ljust(32, b"."))])
        store.save_early(Act(mid, 6, CHAT, ANNA, mid, early, 1, b"n", 0.0), 99, 99)
        store.save_draft(CHAT, f"draft{first}", 1.0)


def test_what_is_destroyed_is_in_no_file(tmp_path: Path) -> None:
    """Not in the database, its index, its free pages, nor its log: read as bytes, unencrypted."""
    path = tmp_path / "s"
    store = SqlStore(Database(str(path), None))
    count = 120
    for n in range(count):
        everything_of(store, n)
    gone = range(0, count, 2)
    assert f"zebraquark{gone[0]}".encode() in path.read_bytes() + (tmp_path / "s-wal").read_bytes()
    with store.transaction():
        for n in gone:
            store.take_early(message(n).id)
        store.drop_messages([message(n).id for n in gone], 99.0)
        assert store.drop_old_draft(CHAT, 2.0)
    store.truncate_wal()
    data = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    for n in gone:
        for word in SECRETS:
            for trace in {word, *words(word)}:
                text = f"{trace}{n}".encode()
                at = data.find(text)
                while at >= 0:  # such as the 12 of 121
                    assert data[at + len(text) : at + len(text) + 1].isdigit(), (text, at)
                    at = data.find(text, at + 1)
    assert ids(store.search("zebraquark", limit=500)) == [
        n for n in range(count - 1, -1, -1) if n % 2
    ]
    assert store.problems() == []
    store.close()


def test_the_last_secret_leaves_nothing_in_the_index(tmp_path: Path) -> None:
    """Not even the beginning of a word, with which an index page is told from the next."""
    store = SqlStore(Database(str(tmp_path / "s"), None))
    with store.transaction():
        for n in range(3_000):
            text = f"zebraquark{n * 7919 % 3_000:04d} common" if n % 3 else f"plain{n}"
            store.add_message(message(n, text=Clean(text)))
    with store.transaction():
        found = store.search("zebraquark", limit=5_000)
        assert len(found) == 2_000
        store.drop_messages([one.id for one in found], 0.0)
    store.truncate_wal()
    data = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"zebraq" not in data and b"ebraquark" not in data
    assert b"plain" in data
    store.close()


def test_an_index_of_another_folding_is_made_anew(tmp_path: Path) -> None:
    """Also that of a profile from before there was one."""
    path = tmp_path / "s"
    store = SqlStore.open(path, KEY)
    write(store, "old apple", "new pear")
    with store.transaction():
        store.put("folding", b"another")
        store._db.write("INSERT INTO words (words) VALUES ('delete-all')")
    assert store.search("apple") == []
    store.close()
    store = SqlStore.open(path, KEY)
    assert ids(store.search("apple")) == [1]
    with store.transaction():
        store.drop_messages([message(1).id], 0.0)
    assert store.search("apple") == [] and store.problems() == []
    store.close()


def test_search_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    """No call of content reads a whole table."""
    store = SqlStore.memory()
    execute = store._db._execute
    scans: list[str] = []

    def explained(sql: str, params: tuple[object, ...]) -> Any:
        if sql.lstrip().startswith(("SELECT", "INSERT", "DELETE", "UPDATE")):
            plan = [str(row[3]) for row in execute(f"EXPLAIN QUERY PLAN {sql}", params)]
            scans.extend(f"{step}: {sql}" for step in plan if step in ("SCAN m", "SCAN messages"))
        return execute(sql, params)

    write(store, "a", "b")
    monkeypatch.setattr(store._db, "_execute", explained)
    mid = message(1).id
    with store.transaction():
        store.search("a", chat=CHAT)
        store.reactions([mid])
        store.untold_messages(CHAT, 9)
        store.start_timers(CHAT, 9, 1.0)
        store.next_vanish()
        store.due_to_vanish(1.0, 9)
        store.older(CHAT, 1.0, 9)
        store.drop_messages([mid], 0.0)
        store.chats()
    assert scans == []


def test_chat_options(store: AnyStore) -> None:
    """Kept with a chat that has nothing else yet; the default of any other."""
    options = ChatOptions(keep_days=3, timer_s=60, timer_sent=5, timer_number=b"n" * 8, pinned=True)
    with store.transaction():
        store.save_chat_options(ROOM, options)
    assert store.chat_options(ROOM) == options
    assert store.chat_options(CHAT) == ChatOptions()
    assert store.kept_chats() == [(ROOM, 3)]


def test_a_store_of_version_3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read before there were receipts is not told later."""
    path, everything = tmp_path / "s", schema.MIGRATIONS
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", everything[:3])
        patch.setattr(SqlStore, "_index_all", lambda _: None)
        old = SqlStore.open(path, KEY)
        with old.transaction():
            old._db.write("INSERT INTO chats (chat, read_seq) VALUES (?, 9)", CHAT)
        old.close()
    store = SqlStore.open(path, KEY)
    assert store.untold() == []
    write(store, "found")
    assert ids(store.search("fou")) == [1]
    assert replace(store.messages(CHAT)[0], seq=0) == message(1, text=Clean("found"))
    store.close()
