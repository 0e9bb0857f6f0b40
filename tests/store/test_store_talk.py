"""The store contract, on disk and in memory: transactions, people, rooms, conversations."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace
from store_values import ANNA, BORIS, CHAT, KEY, AnyStore, b16, contact, held, message

from meshchat.core.model import (
    Contact,
    Kind,
    Partial,
    Prekey,
    Proof,
    Room,
    Session,
    State,
    Step,
    Trust,
    Usage,
)
from meshchat.core.ports import Store
from meshchat.errors import StoreError
from meshchat.sim.memory import MemoryStore
from meshchat.store import SqlStore
from meshchat.text import Clean

# --- transactions ---


@pytest.mark.parametrize("make", [SqlStore.memory, MemoryStore])
def test_fits_the_port(make: Callable[[], AnyStore]) -> None:
    """The type checker sees a ``Store`` here; at run time every method of it is there."""
    store: Store = make()
    names = [name for name in vars(Store) if not name.startswith("_")]
    assert all(callable(getattr(store, name)) for name in names)
    store.close()


def test_transaction_is_all_or_nothing(store: AnyStore) -> None:
    """A body that raises leaves no trace, and the store goes on working."""
    with pytest.raises(ZeroDivisionError), store.transaction():
        store.put("a", b"1")
        store.add_envelopes([held(1)], 0.0)
        raise ZeroDivisionError
    assert store.get("a") is None
    assert store.usage() == []
    with store.transaction():
        store.put("a", b"2")
    assert store.get("a") == b"2"


def test_transaction_is_not_nestable(store: AnyStore) -> None:
    """A second one inside the first is refused and undoes the first."""
    with pytest.raises(StoreError, match="nested"), store.transaction():
        store.put("a", b"1")
        with store.transaction():
            pass
    assert store.get("a") is None


def test_write_needs_a_transaction(store: AnyStore) -> None:
    """A forgotten transaction is an error, not a half-durable write."""
    for write in (
        lambda: store.put("a", b"1"),
        lambda: store.add_envelopes([held(1)], 0.0),
        lambda: store.add_message(message(1)),
    ):
        with pytest.raises(StoreError) as caught:
            write()
        assert caught.value.reason == "no_transaction"
    with pytest.raises(StoreError), store.savepoint():
        pass


def test_savepoint_undoes_only_its_part(store: AnyStore) -> None:
    """What was written before and after a failed part stays, also the totals."""
    with store.transaction():
        store.add_envelopes([held(1)], 0.0)
        with contextlib.suppress(ZeroDivisionError), store.savepoint():
            store.add_envelopes([held(2), held(3, origin=b"other")], 0.0)
            with store.savepoint():
                store.put("inner", b"1")
            raise ZeroDivisionError
        with store.savepoint():
            store.put("b", b"1")
    assert store.usage() == [Usage(0, b"neighbor", Kind.CARRIED, 1, 512)]
    assert store.get("b") == b"1"
    assert store.get("inner") is None


@pytest.mark.parametrize("look", [False, True])
def test_savepoint_undoes_what_waits_for_the_commit(store: AnyStore, look: bool) -> None:
    """Also if it was read, and so written, within the failed part."""

    def seen() -> list[object]:
        return [
            [store.journey(message(n).id) for n in (1, 2)],
            [store.session(sid) for sid in (b"S" * 8, b"T" * 8)],
            store.sessions(ANNA),
            store.usage(),
            store.message_by_envelope(b16(7)),
            [found.id for found in store.search("text")],
        ]

    before = Session(b"S" * 8, ANNA, b"ratchet", b"", b"", False, 1.0)
    own = {"outgoing": True, "eid": b16(7), "state": State.QUEUED}
    with store.transaction():
        store.add_message(message(1, **own))
        store.add_step(message(1).id, Step(1.0, "written"))
        store.save_session(before)
        store.add_envelopes([held(1)], 0.0)
        with contextlib.suppress(ZeroDivisionError), store.savepoint():
            store.add_message(message(2))
            store.add_step(message(2).id, Step(2.0, "received"))
            store.add_step(message(1).id, Step(2.0, "delivered"))
            was = store.message_by_envelope(b16(7))
            assert was is not None
            store.change_message(was.id, state=State.CARRIED, was=was)
            store.save_session(replace(before, ratchet=b"later"))
            store.save_session(replace(before, sid=b"T" * 8))
            store.add_envelopes([held(2), held(3, origin=b"other")], 0.0)
            if look:
                assert [len(steps) for steps in seen()[0]] == [2, 1]  # type: ignore[attr-defined]
                assert len(store.sessions(ANNA)) == 2
            raise ZeroDivisionError
        within = seen()
    first = store.message(message(1).id)
    assert first is not None and first.state is State.QUEUED
    assert (
        within
        == seen()
        == [
            [[Step(1.0, "written")], []],
            [before, None],
            [before],
            [Usage(0, b"neighbor", Kind.CARRIED, 1, 512)],
            first,
            [first.id],
        ]
    )


def test_a_fresh_open_sees_everything(tmp_path: Path) -> None:
    """Values of every kind are the same after closing and opening."""
    path = tmp_path / "s"
    store = SqlStore.open(path, KEY)
    anna = contact(
        ANNA,
        "Анна",
        claimed=Clean("Anna Q"),
        trust=Trust.INTRODUCED,
        introduced_by=BORIS,
        added_at=3.5,
        heard_at=4.5,
    )
    room = Room(b16(7), Clean("площадь"), b"k" * 32, True, 9.25)
    prekey = Prekey(b"p" * 32, b"s" * 32, 77, 88.5)
    proof = Proof(b16(8), b16(9), 66, 12.5)
    sent = message(1, outgoing=True, state=State.QUEUED, number=b"n" * 8, about=BORIS, reason="x")
    with store.transaction():
        store.save_contact(anna)
        store.save_room(room)
        store.add_prekey(prekey)
        store.add_proof(proof)
        store.add_envelopes([held(1, kind=Kind.MINE, stamp=13, size_class=2)], 0.0)
        store.save_partial(Partial(b16(5), 2048, b"half"))
        stored = store.add_message(sent)
        store.put("seed", bytes(32))
    store.close()
    store.close()
    store = SqlStore.open(path, KEY)
    assert store.contact(ANNA) == anna
    assert store.rooms() == [room]
    assert store.prekeys() == [prekey]
    assert store.proof(proof.done) == proof
    assert store.envelope(b16(1)) == held(1, kind=Kind.MINE, stamp=13, size_class=2)
    assert store.partial(b16(5)) == Partial(b16(5), 2048, b"half")
    assert store.message(sent.id) == stored == replace(sent, seq=1)
    assert store.get("seed") == bytes(32)
    store.close()


# --- singles, prekeys, people, rooms ---


def test_single_values(store: AnyStore) -> None:
    """Unknown is None; a second put replaces."""
    assert store.get("x") is None
    with store.transaction():
        store.put("x", b"1")
        store.put("x", b"")
    assert store.get("x") == b""


def test_prekeys_newest_first_and_dropped_when_due(store: AnyStore) -> None:
    """Order by ``exp_h``; exactly the due ones go."""
    keys = [Prekey(bytes([n]) * 32, b"s" * 32, n, float(n)) for n in (2, 3, 1)]
    with store.transaction():
        for key in keys:
            store.add_prekey(key)
        assert [key.exp_h for key in store.prekeys()] == [3, 2, 1]
        assert store.drop_prekeys(2.0) == 2
        assert store.drop_prekeys(2.0) == 0
    assert store.prekeys() == [keys[1]]


def test_contacts_in_order_of_petname(store: AnyStore) -> None:
    """Case does not matter; saving again replaces; blocked ones and requests are there."""
    people = [
        contact(b"1" * 32, "bob", blocked=True),
        contact(b"2" * 32, "Alice"),
        contact(b"3" * 32, "Çelik", request=True),
        contact(b"4" * 32, "Carl"),
    ]
    with store.transaction():
        for person in people:
            store.save_contact(person)
        store.save_contact(replace(people[3], petname=Clean("aaron"), trust=Trust.VERIFIED))
    assert [person.petname for person in store.contacts()] == ["aaron", "Alice", "bob", "Çelik"]
    assert store.contact(b"4" * 32).trust is Trust.VERIFIED  # type: ignore[union-attr]
    assert store.contact(b"9" * 32) is None


def test_text_comes_back_clean(store: AnyStore) -> None:
    """Whatever got into the store, nothing that a terminal obeys comes out."""
    raw = "a\x1b[31m\u202eb\nc"
    dirty = str.__new__(Clean, raw)  # what a bug elsewhere might let through
    with store.transaction():
        store.save_contact(Contact(ANNA, b"card", dirty, claimed=dirty))
        store.save_room(Room(b16(1), dirty, b"k", False))
        store.add_message(message(1, text=dirty, author_name=dirty))
        store.save_draft(CHAT, raw)
    person = store.contacts()[0]
    row = store.chats()[0] if store.chats()[0].chat == CHAT else store.chats()[1]
    assert row.last is not None
    names = [person.petname, person.claimed, store.rooms()[0].name, row.last.author_name]
    assert all(type(name) is Clean and name == "a[31mb c" for name in names)
    for text in (row.draft, row.last.text, store.messages(CHAT)[0].text):
        assert type(text) is Clean
        assert text == "a[31mb\nc"


def test_leaving_a_room_keeps_its_messages(store: AnyStore) -> None:
    """The room is gone from both lists, the history is not."""
    room = Room(b16(1), Clean("hall"), b"k" * 32, False)
    with store.transaction():
        store.save_room(room)
        store.add_message(message(1, chat=b"r" + room.rid))
        store.drop_room(room.rid)
        store.drop_room(room.rid)
    assert store.rooms() == []
    assert store.chats() == []
    assert len(store.messages(b"r" + room.rid)) == 1


# --- conversations ---


def test_a_message_is_stored_once(store: AnyStore) -> None:
    """The second time its id is known, even in another chat; ``seq`` rises."""
    with store.transaction():
        assert store.add_message(message(1)) == replace(message(1), seq=1)
        assert store.add_message(message(1, chat=b"c" + BORIS, text=Clean("other"))) is None
        second = store.add_message(message(2))
    assert second is not None
    assert second.seq > 1
    assert store.message(message(1).id) == replace(message(1), seq=1)
    assert store.message(b"unknown!") is None


def test_change_message(store: AnyStore) -> None:
    """Only the given fields change; an unknown id is an error."""
    with store.transaction():
        store.add_message(message(1, outgoing=True, state=State.QUEUED))
        carried = store.change_message(message(1).id, state=State.CARRIED, carriers=2, eid=b16(4))
        assert (carried.state, carried.carriers, carried.eid) == (State.CARRIED, 2, b16(4))
        assert store.message_by_envelope(b16(4)) == carried
        done = store.change_message(
            message(1).id, state=State.DELIVERED, delivered_at=7.5, expires_at=8.5, reason="r"
        )
        assert done == replace(
            carried, state=State.DELIVERED, delivered_at=7.5, expires_at=8.5, reason="r"
        )
        assert store.change_message(message(1).id, eid=b"", carriers=0).eid == b""
        assert store.message_by_envelope(b16(4)) is None
        assert store.message_by_envelope(b"") is None
        with pytest.raises(StoreError) as caught:
            store.change_message(b"unknown!", carriers=1)
    assert caught.value.reason == "unknown_message"


def test_only_outgoing_messages_have_an_envelope(store: AnyStore) -> None:
    """An incoming message with the same envelope id is not meant."""
    with store.transaction():
        store.add_message(message(1, eid=b16(4)))
        assert store.message_by_envelope(b16(4)) is None


def test_pending(store: AnyStore) -> None:
    """Queued and carried ones of ours, oldest first."""
    states = [State.CARRIED, State.DELIVERED, State.QUEUED, State.FAILED]
    with store.transaction():
        for n, state in enumerate(states):
            store.add_message(message(n, outgoing=True, state=state))
        store.add_message(message(9))
        assert [one.text for one in store.pending()] == ["text 0", "text 2"]
        store.change_message(message(0).id, state=State.DELIVERED)
    assert [one.text for one in store.pending()] == ["text 2"]


def test_pages_of_messages(store: AnyStore) -> None:
    """Both directions, always in order of ``seq``, only of this chat."""
    with store.transaction():
        for n in range(10):
            store.add_message(message(n, chat=CHAT if n % 2 else b"c" + BORIS))
    seqs = [one.seq for one in store.messages(CHAT)]
    assert seqs == [2, 4, 6, 8, 10]
    pages = {
        "newest": store.messages(CHAT, limit=2),
        "before": store.messages(CHAT, before=8, limit=2),
        "after": store.messages(CHAT, after=4, limit=2),
        "both": store.messages(CHAT, after=2, before=8),
        "none before": store.messages(CHAT, before=0),
        "none after": store.messages(CHAT, after=10),
        "unknown": store.messages(b"c" + b"Z" * 32),
    }
    assert {name: [one.seq for one in page] for name, page in pages.items()} == {
        "newest": [8, 10],
        "before": [4, 6],
        "after": [6, 8],
        "both": [4, 6],
        "none before": [],
        "none after": [],
        "unknown": [],
    }


def test_message_sizes(store: AnyStore) -> None:
    """Characters, not bytes, in order of arrival."""
    with store.transaction():
        store.add_message(message(1, text=Clean("привет")))
        store.add_message(message(2, chat=b"c" + BORIS))
        store.add_message(message(3, text=Clean("👍")))
    assert store.message_sizes(CHAT) == [(1, 6, 1001.0), (3, 1, 1003.0)]
    assert store.message_sizes(b"rnone") == []


def test_trim_keeps_the_newest(store: AnyStore) -> None:
    """Only the chat named loses its oldest messages, with their journeys; few are left alone."""
    other = b"r" + b16(9)
    with store.transaction():
        for n in range(6):
            assert store.add_message(message(n)) is not None
            store.add_step(message(n).id, Step(1.0, "received"))
        assert store.add_message(message(10, chat=other)) is not None
        assert store.trim(CHAT, 6) == []
        assert len(store.trim(CHAT, 2)) == 4
        assert store.trim(b"r" + b16(77), 2) == []
    assert [one.id for one in store.messages(CHAT)] == [message(4).id, message(5).id]
    assert len(store.messages(other)) == 1
    assert store.journey(message(0).id) == []
    assert len(store.journey(message(5).id)) == 1


def test_chat_list(store: AnyStore) -> None:
    """Newest activity first; the blocked, the frozen without history and left rooms are not in."""
    people = [
        contact(b"1" * 32, "quiet", added_at=50.0),
        contact(b"2" * 32, "talks", added_at=1.0),
        contact(b"3" * 32, "blocked", blocked=True),
        contact(b"4" * 32, "frozen", trust=Trust.CHANGED),
        contact(b"5" * 32, "frozen with history", trust=Trust.CHANGED),
        contact(b"6" * 32, "request", request=True, added_at=20.0),
    ]
    with store.transaction():
        for person in people:
            store.save_contact(person)
        store.save_room(Room(b16(1), Clean("hall"), b"k", False, joined_at=30.0))
        store.add_message(message(1, chat=b"c" + b"2" * 32))
        store.add_message(message(2, chat=b"c" + b"3" * 32))
        store.add_message(message(3, chat=b"c" + b"5" * 32))
        store.add_message(message(4, chat=b"r" + b16(9)))
    rows = store.chats()
    assert [row.chat for row in rows] == [
        b"c" + b"5" * 32,
        b"c" + b"2" * 32,
        b"c" + b"1" * 32,
        b"r" + b16(1),
        b"c" + b"6" * 32,
    ]
    assert rows[1].last == replace(message(1, chat=b"c" + b"2" * 32), seq=1)
    assert rows[2].last is None
    assert rows[2].draft == ""


def test_unread_and_drafts(store: AnyStore) -> None:
    """Own messages are never unread; reading never goes back; a draft stays until replaced."""

    def row() -> tuple[int, int, str]:
        only = store.chats()[0]
        return only.unread, only.read_seq, only.draft

    with store.transaction():
        store.save_contact(contact(ANNA, "Anna"))
        store.save_draft(CHAT, "half a sent")
        assert row() == (0, 0, "half a sent")
        for n in range(4):
            store.add_message(message(n, outgoing=n == 1))
        assert row() == (3, 0, "half a sent")
        store.mark_read(CHAT, 3)
        assert row() == (1, 3, "half a sent")
        store.mark_read(CHAT, 1)
        store.save_draft(CHAT, "")
        assert row() == (1, 3, "")
        store.mark_read(b"c" + BORIS, 4)
    assert row() == (1, 3, "")


def test_journey(store: AnyStore) -> None:
    """Steps come back in the order of being added, whatever their times say."""
    steps = [Step(3.0, "written"), Step(1.0, "sealed"), Step(2.0, "handed", "lan")]
    with store.transaction():
        for step in steps:
            store.add_step(b"m" * 8, step)
        store.add_step(b"n" * 8, Step(0.0, "written"))
    assert store.journey(b"m" * 8) == steps
    assert store.journey(b"o" * 8) == []
