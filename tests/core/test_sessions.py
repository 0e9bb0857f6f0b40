"""Sessions of direct messages: two sides that start, lose, restore and seize each other's."""

import copy
import random
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec.structs import replace
from world import START, Host, SeededEntropy, World

from meshchat.core.body import Body, BodyType, encode_body
from meshchat.core.contacts import People
from meshchat.core.envelope import envelope_id, open_sealed, seal
from meshchat.core.events import AddContact, Send
from meshchat.core.limits import PREKEY_DELETE_S, SESSIONS_PER_CONTACT_MAX
from meshchat.core.model import Held, Kind, Message, Now, State
from meshchat.core.node import Node
from meshchat.core.ports import Store
from meshchat.core.ratchet import CHAIN_MAX, Header, Ratchet
from meshchat.core.sessions import Sessions
from meshchat.database import Database
from meshchat.errors import ProtocolError
from meshchat.sim.memory import MemoryStore
from meshchat.store import SqlStore

DAY_S = 86_400.0
EK_PLACES = range(198, 230)  # of an inner of kind 1


# --- two parties without a network -----------------------------------------------------------


class Sealed(NamedTuple):
    """What travels inside an envelope, and which prekey that is sealed to."""

    to: str
    text: bytes
    inner: bytes
    prekey: bytes
    e: bytes


class Party:
    """One person's sessions over a store of their own."""

    def __init__(self, name: str, store: MemoryStore | SqlStore | None = None) -> None:
        self.name = name
        self.entropy = SeededEntropy(name)
        self.now = Now(0.0, START)
        self.store = store or MemoryStore()
        with self.store.transaction():
            People.create(self.store, self.entropy, self.now, name)
        self.start()

    def start(self) -> None:
        """From the store, as after a crash."""
        with self.store.transaction():
            self.people = People(self.store, self.entropy, lambda _: None, self.now)
        self.sessions = Sessions(self.store, self.entropy, self.people)

    def know(self, other: "Party") -> None:
        with self.store.transaction():
            self.people.add(AddContact(other.people.card_text()), self.now)

    def seal(self, other: "Party", text: bytes) -> Sealed:
        fp = other.people.identity.fp
        e = self.entropy.bytes(32)
        with self.store.transaction():
            session = self.sessions.current(fp, self.now)
            inner = self.sessions.seal(session, e, text, 0)
        return Sealed(other.name, text, inner, self.people.card_of(fp).prekey, e)

    def open(self, sealed: Sealed) -> bytes:
        prekeys = {prekey.public: prekey for prekey in self.people.prekeys}
        with self.store.transaction():
            opening = self.sessions.open(sealed.inner, prekeys[sealed.prekey], sealed.e, self.now)
            self.sessions.keep(opening, self.now)
        return opening.body

    def state(self) -> list[object]:
        return [self.store.sessions(contact.fp) for contact in self.store.contacts()]


def pair() -> tuple[Party, Party]:
    anna, boris = Party("anna"), Party("boris")
    anna.know(boris)
    boris.know(anna)
    return anna, boris


def test_first_messages_until_an_answer_and_short_ones_after_it() -> None:
    """Every message opens by itself until the other side has shown that it has the session."""
    anna, boris = pair()
    first, second = anna.seal(boris, b"1"), anna.seal(boris, b"2")
    assert first.inner[0] == second.inner[0] == 1
    assert boris.open(second) == b"2", "the second opens without the first"
    answer = boris.seal(anna, b"re")
    assert answer.inner[0] == 2
    assert anna.open(answer) == b"re"
    assert anna.seal(boris, b"3").inner[0] == 2
    assert boris.open(first) == b"1"
    assert len(anna.store.sessions(boris.people.identity.fp)) == 1


def test_both_start_at_once() -> None:
    """Two sessions, all their mail opens, and soon both write with the same one."""
    anna, boris = pair()
    crossing = [(boris, anna.seal(boris, b"a%d" % n)) for n in range(3)]
    crossing += [(anna, boris.seal(anna, b"b%d" % n)) for n in range(3)]
    for reader, sealed in crossing:
        assert reader.open(sealed) == sealed.text
    for turn in range(4):
        one, other = (anna, boris) if turn % 2 else (boris, anna)
        sealed = one.seal(other, b"turn")
        assert sealed.inner[0] == 2
        assert other.open(sealed) == b"turn"
    used = {sealed.inner[1:9] for sealed in (anna.seal(boris, b"x"), boris.seal(anna, b"y"))}
    assert len(used) == 1


def test_a_thousand_unanswered_messages_in_any_order() -> None:
    """Weeks of silence: no chain grows past what a reader skips, so the last one opens first."""
    anna, boris = pair()
    sent = [anna.seal(boris, b"%d" % n) for n in range(2 * CHAIN_MAX + 10)]
    assert len({sealed.inner[230:238] for sealed in sent}) == 3, "three sessions"
    random.Random(1).shuffle(sent)
    for sealed in sorted(sent, key=lambda each: -int(each.text))[:20] + sent:
        if sealed in sent:
            try:
                assert boris.open(sealed) == sealed.text
            except ProtocolError as error:  # one of the first twenty, again
                assert error.reason == "replay"
    assert sum(session.heard_at > 0 for session in boris.state()[0]) == 3  # type: ignore[attr-defined]


def test_sessions_of_one_person_are_bounded() -> None:
    """Whoever starts anew again and again makes us keep eight, the ones in use among them."""
    anna, boris = pair()
    boris.open(anna.seal(boris, b"0"))
    anna.open(boris.seal(anna, b"re"))
    for number in range(3 * SESSIONS_PER_CONTACT_MAX):
        with anna.store.transaction():
            anna.sessions.forget(boris.people.identity.fp)
        anna.now = boris.now = Now(0.0, boris.now.wall + 60)
        boris.open(anna.seal(boris, b"%d" % number))
        anna.open(boris.seal(anna, b"re"))
    assert len(boris.store.sessions(anna.people.identity.fp)) == SESSIONS_PER_CONTACT_MAX


def test_keys_kept_for_late_mail_are_destroyed_in_time() -> None:
    """Nine days later the key of a message that never came is gone, and with it the message."""
    anna, boris = pair()
    late, last = anna.seal(boris, b"late"), anna.seal(boris, b"last")
    boris.open(last)
    boris.now = Now(0.0, START + PREKEY_DELETE_S)
    with boris.store.transaction():
        boris.sessions.house(boris.now)
    with pytest.raises(ProtocolError):
        boris.open(late)


class TwoParties(RuleBasedStateMachine):
    """Send, deliver, lose, repeat, bend, crash, put an old copy back, jump: what arrives is what
    was written; nothing opens twice for a side that was never put back."""

    def __init__(self) -> None:
        super().__init__()
        self.parties = dict(zip(("anna", "boris"), pair(), strict=True))
        self.air: list[Sealed] = []
        self.opened: dict[str, list[bytes]] = {"anna": [], "boris": []}
        self.copies: dict[str, MemoryStore] = {}
        self.put_back: set[str] = set()
        self.sent = 0

    def other(self, name: str) -> Party:
        return self.parties["boris" if name == "anna" else "anna"]

    names = st.sampled_from(["anna", "boris"])

    @rule(name=names)
    def send(self, name: str) -> None:
        self.sent += 1
        text = b"%d from %s" % (self.sent, name.encode())
        self.air.append(self.parties[name].seal(self.other(name), text))

    @precondition(lambda self: self.air)
    @rule(data=st.data(), again=st.booleans())
    def deliver(self, data: st.DataObject, again: bool) -> None:
        place = data.draw(st.integers(0, len(self.air) - 1))
        sealed = self.air[place] if again else self.air.pop(place)
        seen, party = self.opened[sealed.to], self.parties[sealed.to]
        try:
            text = party.open(sealed)
        except ProtocolError:
            # Opened before, or one of the two lost the session by being put back.
            assert sealed.text in seen or self.put_back
            return
        assert text == sealed.text
        assert text not in seen or self.put_back
        seen.append(text)

    @precondition(lambda self: self.air)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        self.air.pop(data.draw(st.integers(0, len(self.air) - 1)))

    @precondition(lambda self: self.air)
    @rule(data=st.data(), bit=st.integers(0, 20_000))
    def bend(self, data: st.DataObject, bit: int) -> None:
        sealed = self.air[data.draw(st.integers(0, len(self.air) - 1))]
        bent = bytearray(sealed.inner)
        place = bit // 8 % len(bent)
        if bent[0] == 1 and place in EK_PLACES:
            return  # read only where the session is new; the envelope protects it (test_envelope)
        bent[place] ^= 1 << bit % 8
        party = self.parties[sealed.to]
        before = party.state()
        with pytest.raises(ProtocolError):
            party.open(sealed._replace(inner=bytes(bent)))
        assert party.state() == before

    @rule(name=names)
    def crash(self, name: str) -> None:
        self.parties[name].start()

    @rule(name=names)
    def save_copy(self, name: str) -> None:
        self.copies[name] = copy.deepcopy(self.parties[name].store)

    @rule(name=names)
    def put_copy_back(self, name: str) -> None:
        if name in self.copies:
            self.parties[name].store = copy.deepcopy(self.copies[name])
            self.parties[name].start()
            self.put_back.add(name)

    @rule(name=names, hours=st.integers(-30, 30))
    def clock_jumps(self, name: str, hours: int) -> None:
        party = self.parties[name]
        party.now = Now(party.now.mono, max(START, party.now.wall + hours * 3_600))

    @invariant()
    def no_key_stream_twice(self) -> None:
        """Not even by a side that was put back."""
        heads = [sealed.inner[-24:] for sealed in self.air]
        assert len(set(heads)) == len(heads)


TestTwoParties = TwoParties.TestCase
TestTwoParties.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)


# --- nodes --------------------------------------------------------------------------------------


def friends(world: World) -> tuple[Host, Host]:
    a, b = world.host("Aida"), world.host("Bolat")
    a.do(AddContact(b.node.card_text()))
    b.do(AddContact(a.node.card_text()))
    return a, b


def send(one: Host, other: Host, text: str) -> Message:
    message = one.do(Send(b"c" + other.node.fp, text))
    assert isinstance(message, Message)
    return message


def texts(host: Host, other: Host) -> list[str]:
    return [str(text) for text in host.texts(b"c" + other.node.fp)]


def test_a_hundred_messages_before_the_first_answer() -> None:
    """All written before the other side ever spoke arrive once and in order."""
    world = World()
    a, b = friends(world)
    written = [send(a, b, f"message {n}") for n in range(100)]
    world.meet(a, b, 30)
    assert texts(b, a) == [f"message {n}" for n in range(100)]
    world.meet(a, b, 120)
    assert {a.state(message) for message in written} == {State.DELIVERED}


def test_fifty_queued_across_a_restore() -> None:
    """Bolat is restored from his words: what was sealed for who he was is sealed again."""
    world = World()
    a, b = friends(world)
    send(a, b, "hello")
    world.meet(a, b, 70)
    send(b, a, "salem")
    world.meet(a, b, 70)
    written = [send(a, b, f"queued {n}") for n in range(50)]
    world.run(60)
    world.wall += DAY_S
    again = restored(world, b)
    again.do(AddContact(a.node.card_text()))
    send(again, a, "it is me again")
    world.meet(a, again, 200)
    got = [text for text in texts(again, a) if text.startswith("queued")]
    assert got == [f"queued {n}" for n in range(50)]
    world.meet(a, again, 200)
    assert {a.state(message) for message in written} == {State.DELIVERED}
    contact = a.store.contact(again.node.fp)
    assert contact is not None and contact.boot > 0
    assert len(a.store.contacts()) == 1, "the same person, not another one"


def restored(world: World, lost: Host) -> Host:
    """A new device with the same words, and nothing else of the old one."""
    world.hosts.remove(lost)
    host = Host.__new__(Host)
    host.world, host.name, host.settings = world, lost.name, lost.settings
    host.store, host.entropy = world.make_store(), SeededEntropy(f"a new device of {lost.name}")
    seed = lost.store.get("seed")
    with host.store.transaction():
        Node.create(host.store, host.entropy, world.now, lost.name, seed)
    host.told, host.links = [], {}
    host.node = host._start()
    world.hosts.append(host)
    return host


def test_an_old_copy_put_back_heals_by_itself() -> None:
    """Bolat's store is yesterday's: the message he cannot read makes him say so, and it is sealed
    again; afterwards both write as if nothing had been."""
    world = World(make_store=MemoryStore)
    a, b = friends(world)
    send(a, b, "one")
    world.meet(a, b, 70)
    send(b, a, "two")
    world.meet(a, b, 70)
    yesterday = copy.deepcopy(b.store)
    for text in ("three", "five"):
        send(a, b, text)
        world.meet(a, b, 70)
        send(b, a, f"re {text}")
        world.meet(a, b, 70)
    b.store = yesterday
    b.node = b._start()
    lost = send(a, b, "he cannot read this at first")
    world.meet(a, b, 200)
    world.meet(a, b, 200)
    assert "he cannot read this at first" in texts(b, a)
    assert a.state(lost) == State.DELIVERED
    for one, other, text in ((a, b, "fine?"), (b, a, "fine.")):
        send(one, other, text)
        world.meet(a, b, 100)
        assert texts(other, one)[-1] == text


def air_of(world: World, hosts: tuple[Host, Host], days: int) -> dict[int, list[bytes]]:
    """Both write each day and answer; every envelope that existed, by the day it was made."""
    a, b = hosts
    captured: dict[int, list[bytes]] = {}
    for day in range(days):
        seen: dict[bytes, bytes] = {}
        for one, other in ((a, b), (b, a), (a, b)):
            send(one, other, f"day {day}")
            for host in hosts:
                seen |= {h.eid: h.data for h in held(host)}
            world.meet(a, b, 70)
        captured[day] = list(seen.values())
        world.run(1.0)
        world.mono += DAY_S
        world.wall += DAY_S
        world.run(1.0)
        world.meet(a, b, 5)
    return captured


def held(host: Host) -> list[Held]:
    found = [host.store.envelope(eid) for eid, _ in host.store.offered(0)]
    return [each for each in found if each is not None]


def opened_by_thief(host: Host, envelopes: list[bytes]) -> list[bool]:
    """Whether the text of each comes out for somebody who has everything this device holds.

    That a message was read already, by its number or its key, does not keep a thief from trying.
    """
    as_it_is, forgetful = copy.deepcopy(host.store), copy.deepcopy(host.store)
    with forgetful.transaction():
        for contact in forgetful.contacts():
            for session in forgetful.sessions(contact.fp):
                ratchet = replace(Ratchet.decode(session.ratchet), received=0)
                forgetful.save_session(replace(session, ratchet=ratchet.encode(), past=b""))
    found = [opened_with(store, host.world, envelopes) for store in (as_it_is, forgetful)]
    return [any(ways) for ways in zip(*found, strict=True)]


def opened_with(store: Store, world: World, envelopes: list[bytes]) -> list[bool]:
    entropy = SeededEntropy("thief")
    with store.transaction():
        people = People(store, entropy, lambda _: None, world.now)
        sessions = Sessions(store, entropy, people)
        found = []
        for data in envelopes:
            opened = open_sealed(data, secrets=[], prekeys=people.prekeys)
            if opened is None or opened.prekey is None:
                found.append(False)
                continue
            try:
                sessions.open(opened.inner, opened.prekey, opened.header.e, world.now)
            except ProtocolError:
                found.append(False)
            else:
                found.append(True)
    return found


def test_a_device_seized_on_day_4_does_not_open_the_days_before() -> None:
    """Rows 23 and 24 of the threat model: of a running conversation nothing opens; the very first
    messages do for nine days and no longer; after that not even the outer layers open."""
    world = World(make_store=MemoryStore)
    a, b = friends(world)
    captured = air_of(world, (a, b), 4)
    for host in (a, b):
        for day in (1, 2, 3):
            assert captured[day], "something was on air"
            assert not any(opened_by_thief(host, captured[day]))
    control = send(a, b, "still on its way")
    assert sum(opened_by_thief(b, [h.data for h in held(a) if h.kind is Kind.OWN])) == 1, (
        "the same thief opens what was not read yet: the test can fail"
    )
    world.meet(a, b, 70)
    assert a.state(control) in (State.CARRIED, State.DELIVERED)
    world.mono += 10 * DAY_S
    world.wall += 10 * DAY_S
    world.run(1.0)
    for host in (a, b):
        with host.store.transaction():
            people = People(host.store, SeededEntropy("t"), lambda _: None, world.now)
        every = [data for datas in captured.values() for data in datas]
        assert not any(open_sealed(d, secrets=[], prekeys=people.prekeys) for d in every)


def test_a_transcript_proves_nothing() -> None:
    """Deniability: with his own keys alone Boris makes a message that opens exactly like one of
    Anna's, so what opens is no evidence of who wrote it."""
    anna, boris = pair()
    boris.open(anna.seal(boris, b"what Anna wrote"))
    anna.open(boris.seal(anna, b"re"))
    genuine = anna.seal(boris, b"what Anna wrote next")
    judge = copy.deepcopy(boris.store)
    (session,) = boris.store.sessions(anna.people.identity.fp)
    forged = forge(boris, session.sid, b"what Anna never wrote", genuine)
    for sealed in (genuine, forged):
        boris.store = copy.deepcopy(judge)
        boris.start()
        assert boris.open(sealed) == sealed.text


def forge(boris: Party, sid: bytes, text: bytes, genuine: Sealed) -> Sealed:
    """With the receiving chain that Boris's own store holds."""
    from meshchat.core import crypto
    from meshchat.core.ratchet import HEADER_BYTES, Header, Ratchet, mixed

    session = boris.store.session(sid)
    assert session is not None
    header = Header.decode(genuine.inner[1:])
    _, _, key = Ratchet.decode(session.ratchet).open(header, bytes(32))
    e = boris.entropy.bytes(32)
    ends = session.fp + boris.people.identity.fp
    head = genuine.inner[1 : 1 + HEADER_BYTES]
    inner = b"\x02" + head + crypto.aead_seal(mixed(key, e), text, ends + head + e)
    return genuine._replace(inner=inner, text=text, e=e)


def test_a_junk_message_of_nobody_is_counted_and_not_answered() -> None:
    """A session id nobody knows, sealed properly to our prekey by whoever has the card."""
    world = World()
    a, b = friends(world)
    card = b.node.card_bytes()
    body = encode_body(Body(BodyType.TEXT, bytes(8), int(world.wall), "junk"))
    data = seal(
        lambda _: b"\x02" + bytes(44) + body + bytes(16),
        body,
        int(world.wall // 3_600) + 24,
        bytes(16),
        want_proof=True,
        entropy=SeededEntropy("junk"),
        long_term_secret=bytes(32),
        counter=1,
        prekey=card[97:129],
    )
    with a.store.transaction():
        a.store.add_envelopes(
            [
                Held(
                    envelope_id(data),
                    data[1],
                    int(world.wall // 3_600) + 24,
                    data[64:80],
                    data,
                    b"",
                )
            ],
            world.wall,
        )
    a.crash()
    world.meet(a, b, 70)
    assert b.node.status(world.now).counters["session_unknown"] == 1
    assert texts(b, a) == []
    assert not b.store.pending()


def test_used_keys_are_in_no_file(tmp_path: Path) -> None:
    """Row 23: once a message was read, neither the chain it came from nor a key kept for it is in
    the database or its log, read as bytes without encryption."""
    path = tmp_path / "store.db"
    anna, boris = Party("anna"), Party("boris", SqlStore(Database(str(path), None)))
    anna.know(boris)
    boris.know(anna)
    boris.open(anna.seal(boris, b"0"))
    anna.open(boris.seal(anna, b"re"))
    late = [anna.seal(boris, b"%d" % number) for number in range(6)]
    boris.open(late[5])
    fp = anna.people.identity.fp
    secrets: set[bytes] = set()

    def note() -> set[bytes]:
        found = set()
        for session in boris.store.sessions(fp):
            ratchet = Ratchet.decode(session.ratchet)
            found |= {ratchet.root, ratchet.secret, ratchet.sending, ratchet.receiving}
            for number in range(6):
                kept = boris.store.skipped(
                    session.sid, Header.decode(late[0].inner[1:]).key, number
                )
                found |= {kept} if kept else set()
        return found - {b""}

    def on_disk(secret: bytes) -> bool:
        return any(
            secret in file.read_bytes()
            for file in (path, path.with_name("store.db-wal"))
            if file.exists()
        )

    secrets |= note()
    assert len(secrets) >= 9, "chains, and the keys of five messages that are late"
    assert all(map(on_disk, secrets)), "the search can find them"
    for sealed in late[:5]:
        assert boris.open(sealed) == sealed.text
    boris.seal(anna, b"a new turn")
    for _ in range(2):
        anna.open(boris.seal(anna, b"re"))
        boris.open(anna.seal(boris, b"more"))
    boris.store.truncate_wal()
    left = {secret for secret in secrets - note() if on_disk(secret)}
    assert not left
    boris.store.close()
