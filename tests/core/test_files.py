"""Files in pieces between whole nodes: what arrives, and what is said of it."""

import pytest
from filetool import (
    DAY,
    HOUR,
    befriend,
    chunks,
    complete,
    content,
    friends_and_carrier,
    give,
    handover,
    now_of,
    tidy,
    under_way,
    whole,
)
from mallory import totals_match
from world import Host, World

from meshchat.core import link as wire_link
from meshchat.core.events import (
    AddContact,
    Block,
    Delete,
    FileComplete,
    JoinRoom,
    MessageChanged,
    Received,
    Send,
    SendFile,
)
from meshchat.core.identity import public_room_key
from meshchat.core.limits import (
    CLASS_SIZES_BYTES,
    HOUSEKEEPING_S,
    RECEIPT_DELAY_S,
    Limits,
)
from meshchat.core.model import Fate, Kind, Message, Now, State, contact_chat, room_chat
from meshchat.core.sealed import FILE_MAX_BYTES
from meshchat.core.sync import Sync
from meshchat.errors import TrustError, UsageError


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def three(world: World) -> tuple[Host, Host, Host]:
    """Aida and Bolat are friends; a stranger carries."""
    return friends_and_carrier(world)


# --- the whole way -------------------------------------------------------------------------------


def written(host: Host) -> tuple[int, int]:
    """Files kept by themselves, and pieces kept in the bodies of envelopes."""
    whole_files = host.store._db.value("SELECT count(*) FROM files")
    in_bodies = "SELECT count(*) FROM pieces p JOIN bodies b ON b.id = p.body"
    return whole_files, host.store._db.value(in_bodies)


def bulk_bodies(host: Host) -> int:
    count: int = host.store._db.value("SELECT count(*) FROM bodies WHERE length(data) > 8192")
    return count


def test_a_file_crosses_a_gap(world: World, three: tuple[Host, Host, Host]) -> None:
    """A stranger carries three chunks; delivered is said when all is there, and nothing stays."""
    a, b, c = three
    data = content(whole(2) + 100)
    message = give(a, b, data, "отчёт за май.pdf")
    assert message.text == '[file "отчёт за май.pdf", 65 kB]'
    ids = chunks(a, message)
    sizes = [len(held.data) for held in map(a.store.envelope, ids) if held]
    assert sizes == [32_768, 32_768, 512]
    assert a.state(message) == State.QUEUED
    world.meet(a, c)
    assert (a.state(message), now_of(a, message).carriers) == (State.CARRIED, 1)
    world.meet(c, b)
    assert b.store.file(message.id) == data
    there = now_of(b, message)
    assert (there.text, there.reason, there.outgoing) == (message.text, "", False)
    assert complete(b) == [(message.id, len(data))]
    assert [step.what for step in b.store.journey(message.id)] == ["received", "complete"]
    assert a.state(message) == State.CARRIED
    world.run(70)
    world.meet(c, b)
    world.meet(c, a)
    assert a.state(message) == State.DELIVERED
    assert a.store.file(message.id) is None and b.store.file(message.id) == data
    for host in three:
        tidy(host)
        assert not any(host.store.envelope(eid) for eid in ids)


def test_the_largest_file(world: World, three: tuple[Host, Host, Host]) -> None:
    """64 chunks go; a byte more is refused with a sentence, as is nothing at all."""
    a, b, _ = three
    chat, data = contact_chat(b.node.fp), content(FILE_MAX_BYTES)
    for wrong, reason in ((data + b"x", "file_too_large"), (b"", "empty_file")):
        with pytest.raises(UsageError) as refusal:
            a.do(SendFile(chat, "x", wrong))
        assert refusal.value.reason == reason and str(refusal.value).endswith(".")
    assert a.texts(chat) == [] and a.store.open_files() == []
    world.link(a, b)
    message = give(a, b, data)
    assert len(chunks(a, message)) == 64 and message.text.endswith(", 2.1 MB]")
    world.run(5)
    assert b.store.file(message.id) == data
    assert a.state(message) == State.DELIVERED


@pytest.mark.parametrize("name", ["", "\u200b\n", "n" * 97, "я" * 49])
def test_names_that_cannot_be(three: tuple[Host, Host, Host], name: str) -> None:
    """Nothing to show, or more than 96 bytes, is refused."""
    a, b, _ = three
    with pytest.raises(UsageError) as refusal:
        a.do(SendFile(contact_chat(b.node.fp), name, b"x"))
    assert refusal.value.reason == "bad_file_name"


def test_only_to_contacts(world: World, three: tuple[Host, Host, Host]) -> None:
    """Rooms, strangers and the blocked get no files, and nothing is left behind."""
    a, b, _ = three
    room = a.do(JoinRoom("x", public_room_key("x"), False))
    with pytest.raises(UsageError, match="not a room"):
        a.do(SendFile(room_chat(room.rid), "x", b"x"))  # type: ignore[attr-defined]
    with pytest.raises(UsageError):
        a.do(SendFile(b"c" + bytes(32), "x", b"x"))
    a.do(Block(b.node.fp))
    with pytest.raises(TrustError):
        give(a, b, b"x")
    tidy(a)


def test_delivered_means_all_of_it(world: World, three: tuple[Host, Host, Host]) -> None:
    """With one chunk missing the manifest is not confirmed, however long they are together."""
    a, b, _c = three
    data = content(whole(3))
    message = give(a, b, data)
    missing = chunks(a, message)[1]
    held = a.store.envelope(missing)
    assert held is not None
    with a.store.transaction():  # as if nobody had taken it and we had lost it
        a.node._custody.drop(missing, Fate.EVICTED)
    world.link(a, b)
    world.run(200)
    assert a.state(message) == State.QUEUED, "one chunk has left nobody's hands"
    assert now_of(a, message).carriers == 1
    assert now_of(b, message).reason == "file_open" and b.store.file(message.id) is None
    assert complete(b) == [] and len(b.store.pieces(message.id)) == 2
    with b.store.transaction():
        b.store.add_envelopes([held._replace(kind=Kind.CARRIED, origin=b"x")], world.wall)
    b.crash()
    world.link(a, b)
    world.run(5)
    assert b.store.file(message.id) == data
    assert a.state(message) == State.DELIVERED


@pytest.mark.usefixtures("carries_all")
def test_carried_when_every_part_is(world: World, three: tuple[Host, Host, Host]) -> None:
    """Two neighbours with a part each: carried only when nothing is left with us alone."""
    a, b, c = three
    message = give(a, b, content(whole(3)))
    ids = chunks(a, message)
    world.frame_by_frame = True
    link, _ = world.link(a, c)
    while sum(c.store.envelope(eid) is not None for eid in ids) < 1:
        host, event = world.inbox.popleft()
        host.handle(event)
    world.cut_link(a, link)
    world.inbox.clear()
    c.crash()
    world.frame_by_frame = False
    assert a.state(message) == State.QUEUED
    other = world.host("Other")
    world.meet(a, other)
    assert a.state(message) == State.CARRIED
    world.meet(a, c)
    assert now_of(a, message).carriers == 2
    a.crash()
    world.meet(a, c)
    assert now_of(a, message).carriers == 2


def test_lost_confirmations_of_chunks(world: World, three: tuple[Host, Host, Host]) -> None:
    """A neighbour that has all, though its words were lost, counts once when met again."""
    a, b, c = three
    message = give(a, b, content(whole(2)))
    eid = now_of(a, message).eid
    ids = [*chunks(a, message), eid]
    link, _ = world.link(a, c)

    def all_there() -> bool:
        return all(c.store.envelope(each) is not None for each in ids)

    def deaf(host: Host, effect: object) -> tuple[bytes, ...]:
        """From the first envelope on the carrier is not heard any more."""
        if host is a or not any(c.store.envelope(each) for each in ids):
            return effect.frames  # type: ignore[attr-defined, no-any-return]
        return ()

    world.meddle = deaf
    world.run(3)
    world.meddle = None
    world.cut_link(a, link)
    handover(world, a, c, *(each for each in ids if c.store.envelope(each) is None))
    assert all_there() and a.state(message) == State.QUEUED
    world.meet(c, a)
    assert (a.state(message), now_of(a, message).carriers) == (State.CARRIED, 1)
    world.meet(c, a)
    assert now_of(a, message).carriers == 1


def test_cut_at_every_frame(world: World) -> None:
    """Cut after each frame in turn, the file arrives and no byte of a chunk comes twice."""
    a, b = world.host("Aida"), world.host("Bolat")
    befriend(a, b)
    world.run(1)
    data = content(whole(2))
    message = give(a, b, data)
    ids = chunks(a, message)
    world.frame_by_frame = True
    seen: list[tuple[bytes, int]] = []
    record = Sync.record

    def spy(sync: Sync, kind: int, body: bytes, now: Now) -> object:
        if kind == wire_link.PART and body[:16] in ids:
            seen.append((body[:16], int.from_bytes(body[16:18], "little")))
        return record(sync, kind, body, now)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Sync, "record", spy)
        for steps in range(1, 200):
            link, _ = world.link(a, b, mtu=4_096)
            for _ in range(steps):
                if world.inbox:
                    host, event = world.inbox.popleft()
                    host.handle(event)
            kept = [item for item in world.inbox if not isinstance(item[1], Received)]
            world.inbox.clear()
            world.inbox.extend(kept)
            if link in a.links:
                world.cut_link(a, link)
            world.settle()
            (a if steps % 2 else b).crash()
            if b.store.file(message.id):
                break
    assert b.store.file(message.id) == data
    assert len(seen) == len(set(seen)) > 16


def test_chunks_before_their_manifest(world: World, three: tuple[Host, Host, Host]) -> None:
    """The reader carried chunks of a file it knew nothing of; with the manifest they are its."""
    a, b, _ = three
    data = content(whole(2) + 1)
    message = give(a, b, data)
    handover(world, a, b, *chunks(a, message))
    world.run(2)
    assert b.node.status(world.now).custody.untried == 0, "tried, and for nobody"
    handover(world, a, b, now_of(a, message).eid)
    world.run(2)
    assert b.store.file(message.id) == data
    assert now_of(b, message).reason == ""


def test_chunks_that_had_to_make_room_are_asked_for_again(
    world: World, three: tuple[Host, Host, Host]
) -> None:
    """What the reader carried and evicted before it knew is fetched once the manifest names it."""
    a, b, _ = three
    data = content(whole(2))
    message = give(a, b, data)
    ids = chunks(a, message)
    handover(world, a, b, *ids)
    world.run(2)
    with b.store.transaction():
        b.node._custody.drop(ids[0], Fate.EVICTED)
    handover(world, a, b, now_of(a, message).eid)
    world.run(2)
    assert now_of(b, message).reason == "file_open"
    world.meet(a, b)
    assert b.store.file(message.id) == data


@pytest.mark.usefixtures("carries_all")
@pytest.mark.parametrize("who", [0, 1, 2])
def test_crash_at_every_step(who: int) -> None:
    """kill -9 of one of the three after each number of events: it arrives once, and states hold."""
    size = whole(1) + 5
    steps = 3
    while True:
        world = World(f"crash {who}")
        hosts = [world.host(name) for name in ("Aida", "Bolat", "Carrier")]
        a, b, c = hosts
        befriend(a, b)
        world.run(1)
        data = content(size)
        message = give(a, b, data)
        world.link(a, c)
        world.link(c, b)
        left = steps
        while left and world.inbox:
            host, event = world.inbox.popleft()
            host.handle(event)
            left -= 1
        early = bool(world.inbox)
        hosts[who].crash()
        for one, other in ((a, c), (c, b)):
            world.meet(one, other, 3)
            assert a.state(message) != State.DELIVERED or b.store.file(message.id) is not None
        assert b.store.file(message.id) == data
        world.run(70)
        for one, other in ((c, b), (c, a)):
            world.meet(one, other, 3)
        assert a.state(message) == State.DELIVERED
        assert b.texts(contact_chat(a.node.fp)) == [message.text]
        for host in hosts:
            tidy(host)
        if not early:
            return
        steps += 3


def test_without_receipts(world: World) -> None:
    """A reader that sends no receipts gets the file and confirms neither chunk nor manifest."""
    a, b = world.host("Aida"), world.host("Bolat", receipts=False)
    befriend(a, b)
    world.link(a, b)
    message = give(a, b, content(whole(1) + 1))
    world.run(200)
    assert b.store.file(message.id) is not None
    assert a.state(message) == State.CARRIED
    assert b.node.status(world.now).custody.proofs == 0


# --- sealed again, and given up ------------------------------------------------------------------


def test_sealed_again_after_expiry(world: World, three: tuple[Host, Host, Host]) -> None:
    """When the envelopes end before the message, all is sealed anew; pieces are kept."""
    a, b, _c = three
    data = content(whole(3))
    message = give(a, b, data)
    first = now_of(a, message)
    old = under_way(a, message)
    held = a.store.envelope(first.eid)
    assert held is not None
    ends = [found.exp_h for found in map(a.store.envelope, old.manifest.chunks) if found]
    assert min(ends) >= held.exp_h and max(ends) <= held.exp_h + 34
    handover(world, a, b, first.eid, *old.manifest.chunks[:2])
    world.run(5)
    assert len(b.store.pieces(message.id)) == 2
    with a.store.transaction():  # so that a week is time enough for a second try
        a.store.change_message(message.id, expires_at=world.wall + 12 * DAY)
    world.run(held.exp_h * HOUR - world.wall - HOUR)
    a.do(AddContact(b.node.card_text()))  # a fresh key for what comes
    world.run(2 * HOUR)
    again, new = now_of(a, message), under_way(a, message)
    assert again.eid and again.eid != first.eid
    assert (again.state, again.carriers) == (State.QUEUED, 0)
    assert not set(new.manifest.chunks) & set(old.manifest.chunks) and new.marks == 0
    assert (new.manifest.key, new.manifest.hash) == (old.manifest.key, old.manifest.hash)
    assert not any(a.store.envelope(eid) for eid in old.manifest.chunks)
    handover(world, a, b, again.eid, new.manifest.chunks[0])
    world.run(5)
    assert b.store.file(message.id) is None
    handover(world, a, b, new.manifest.chunks[2])
    world.run(5)
    assert b.store.file(message.id) == data, "pieces of both sealings"
    world.run(70)
    world.meet(a, b)
    assert a.state(message) == State.DELIVERED
    assert b.texts(contact_chat(a.node.fp)) == [message.text]
    tidy(a)
    tidy(b)


def test_sealed_again_when_it_is_there(world: World, three: tuple[Host, Host, Host]) -> None:
    """The proof was lost and all sealed anew: the new manifest alone is confirmed, at once."""
    a, b, _ = three
    message = give(a, b, content(whole(1) + 1))
    first = now_of(a, message)
    handover(world, a, b, first.eid, *chunks(a, message))
    world.run(5)
    assert b.store.file(message.id) is not None
    with a.store.transaction():
        a.store.change_message(message.id, expires_at=world.wall + 12 * DAY)
    held = a.store.envelope(first.eid)
    assert held is not None
    world.run(held.exp_h * HOUR - world.wall - HOUR)
    a.do(AddContact(b.node.card_text()))
    world.run(2 * HOUR)
    assert now_of(a, message).eid != first.eid
    handover(world, a, b, now_of(a, message).eid)
    world.run(70)
    world.meet(a, b)
    assert a.state(message) == State.DELIVERED
    assert len(complete(b)) == 1
    tidy(a)
    tidy(b)


def test_waits_for_a_key(world: World) -> None:
    """A file to an outdated card is kept whole and goes when a card comes, also after a crash."""
    a, b = world.host("Aida"), world.host("Bolat")
    befriend(a, b)
    world.run(12 * DAY)
    data = content(whole(1) + 1)
    fresh = b.node.card_text()
    message = give(a, b, data)
    assert (now_of(a, message).reason, chunks(a, message)) == ("no_key", ())
    a.crash()
    assert (written(a), a.store.file(message.id)) == ((1, 0), data)
    a.do(AddContact(fresh))
    assert now_of(a, message).eid and len(chunks(a, message)) == 2
    assert (written(a), a.store.file(message.id)) == ((0, 2), data), "only its chunks are kept"
    world.meet(a, b)
    assert b.store.file(message.id) == data


def test_each_byte_is_written_once(world: World, three: tuple[Host, Host, Host]) -> None:
    """Sealed on both sides, before and after its envelopes go; nothing is left with the author."""
    a, b, c = three
    data = content(whole(3))
    message = give(a, b, data)
    assert (written(a), bulk_bodies(a)) == ((0, 3), 3) and a.store.file(message.id) == data
    world.meet(a, c)
    world.meet(c, b)
    assert (written(b), bulk_bodies(b)) == ((0, 3), 3) and b.store.file(message.id) == data
    world.run(70)  # the proofs are known
    ids = chunks(a, message)
    world.meet(b, a)
    assert a.state(message) == State.DELIVERED and written(a) == (0, 0)
    assert not any(b.store.envelope(eid) for eid in ids) and written(b) == (0, 3)
    for host in (a, b):
        host.store.truncate_wal()
    assert sum(written(a)) == 0 and b.store.file(message.id) == data
    b.crash()
    b.do(Delete(message.id))
    b.store.truncate_wal()
    assert written(b) == (0, 0) and bulk_bodies(a) == bulk_bodies(b) == 0


def test_pieces_that_came_together_show_together(
    world: World, three: tuple[Host, Host, Host]
) -> None:
    """Reader and author let others know of their proofs in as many steps as brought them, each
    after a delay of its own; neither at once."""
    a, b, _ = three
    ids = chunks(a, give(a, b, content(whole(12))))
    world.meet(a, b)
    for host in (a, b):
        rows = host.store._db.rows("SELECT release_at FROM proofs")
        times = sorted({release_at for (release_at,) in rows})
        assert len(rows) > len(ids) and 1 < len(times) < len(ids) / 2
        assert world.wall + RECEIPT_DELAY_S[0] - 1 < times[0]
        assert times[-1] < world.wall + RECEIPT_DELAY_S[1] + 1


@pytest.mark.parametrize("backwards", [False, True])
def test_hashed_after_a_restart(
    world: World, three: tuple[Host, Host, Host], backwards: bool
) -> None:
    """The hash goes on as pieces come; begun anew in the middle it takes what is kept."""
    a, b, _ = three
    data = content(whole(3))
    message = give(a, b, data)
    first, *others = chunks(a, message)
    handover(world, a, b, now_of(a, message).eid, first)
    world.run(5)
    for eid in others[::-1] if backwards else others:
        handover(world, a, b, eid)  # and b starts anew
        world.run(5)
    assert b.store.file(message.id) == data and now_of(b, message).reason == ""


def test_given_up_on_both_sides(world: World, three: tuple[Host, Host, Host]) -> None:
    """After a week the author's copy is gone; the reader says that the rest never came."""
    a, b, _ = three
    message = give(a, b, content(whole(2)))
    handover(world, a, b, now_of(a, message).eid, chunks(a, message)[0])
    world.run(5)
    assert len(b.store.pieces(message.id)) == 1
    world.run(10 * DAY)
    assert (now_of(a, message).state, now_of(a, message).reason) == (State.FAILED, "expired")
    assert a.store.file(message.id) is None
    assert now_of(b, message).reason == "file_ended"
    tidy(a)
    tidy(b)


def test_replaced_key_takes_the_file_back(world: World, three: tuple[Host, Host, Host]) -> None:
    """When the contact's key is replaced, its file is neither offered nor kept."""
    a, b, _ = three
    message = give(a, b, content(whole(2)))
    ids = chunks(a, message)
    other = world.host("Bolat")
    a.do(AddContact(other.node.card_text(), replaces=b.node.fp))
    assert (now_of(a, message).state, now_of(a, message).reason) == (State.FAILED, "key_changed")
    assert not any(a.store.envelope(eid) for eid in ids)
    assert a.store.file(message.id) is None
    tidy(a)


def test_full_outbox_leaves_nothing_half_made(world: World) -> None:
    """A file that does not fit our share is refused whole; what fits is not."""
    a, b = world.host("Aida", Limits(store_bytes=4 * 120_000)), world.host("Bolat")
    befriend(a, b)
    world.run(1)
    before = a.store.chats(), a.node.status(world.now).custody, a.store.usage()
    with pytest.raises(UsageError) as refusal:
        give(a, b, content(whole(4)))
    assert refusal.value.reason == "outbox_full"
    assert before == (a.store.chats(), a.node.status(world.now).custody, a.store.usage())
    assert not a.node._chats.sealer.sealed
    tidy(a)
    a.do(Send(contact_chat(b.node.fp), "a word still fits"))
    message = give(a, b, content(whole(2)))
    world.meet(a, b)
    assert b.store.file(message.id) is not None
    assert a.state(message) == State.DELIVERED


def test_a_waiting_file_holds_up_no_text(world: World) -> None:
    """A file that finds no room when its key comes does not keep smaller messages waiting."""
    a, b = world.host("Aida", Limits(store_bytes=4 * 150_000)), world.host("Bolat")
    befriend(a, b)
    world.run(12 * DAY)
    fresh = b.node.card_text()
    files = [give(a, b, content(whole(3), seed)) for seed in range(2)]
    text = a.do(Send(contact_chat(b.node.fp), "first of all"))
    assert isinstance(text, Message)
    a.do(AddContact(fresh))
    sealed = [bool(now_of(a, each).eid) for each in (*files, text)]
    assert sealed == [True, False, True]
    assert totals_match(a)
    world.link(a, b)
    world.run(HOUSEKEEPING_S + 70)
    for each in files:
        assert b.store.file(each.id) is not None


def test_changes_are_told(world: World, three: tuple[Host, Host, Host]) -> None:
    """A screen hears that a message's file is whole before it hears of the file itself."""
    a, b, _ = three
    world.link(a, b)
    message = give(a, b, b"short")
    world.run(2)
    told = [t for t in b.told if isinstance(t, MessageChanged | FileComplete)]
    assert [type(t) for t in told if t.message.id == message.id] == [MessageChanged, FileComplete]
    assert CLASS_SIZES_BYTES[0] == 512 and now_of(b, message).reason == ""
