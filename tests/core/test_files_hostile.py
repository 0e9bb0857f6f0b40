"""Hostile authors of files, and what a reader takes on from anybody."""

import pytest
from filetool import (
    HOUR,
    befriend,
    chunks,
    complete,
    content,
    counters,
    friends_and_carrier,
    give,
    handover,
    now_of,
    tidy,
    whole,
)
from mallory import Mallory, Stranger
from msgspec.structs import replace
from world import Host, World

from meshchat.core.body import Body, BodyType, encode_body
from meshchat.core.envelope import envelope_id, seal
from meshchat.core.events import (
    Accept,
    AddContact,
    Block,
    Send,
)
from meshchat.core.identity import Card, card_text
from meshchat.core.limits import (
    FILE_WAIT_H,
    FILES_KNOWN_PER_CONTACT_MAX,
    FILES_KNOWN_PER_STRANGER_MAX,
    FILES_TAKEN_PER_CONTACT_MAX,
)
from meshchat.core.model import Manifest, Message, State, contact_chat
from meshchat.core.sealed import (
    chunk,
    cut,
    file_hash,
    with_table,
)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def three(world: World) -> tuple[Host, Host, Host]:
    """Aida and Bolat are friends; a stranger carries."""
    return friends_and_carrier(world)


class Liar(Stranger):
    """Somebody with true keys whose manifests and chunks say what a test wants."""

    def __init__(self, world: World, victim: Host, friend: bool = True) -> None:
        super().__init__(world, "Liar")
        self.victim = victim
        self.node = Mallory(world, "Liar's node")
        self.node.dial(victim)
        if friend:
            victim.do(AddContact(card_text(self.card.encode(), "Liar")))
        self.key = self.entropy.bytes(32)

    def chunk(self, index: int, data: bytes, key: bytes = b"") -> bytes:
        inner = chunk(index, data)
        return seal(
            lambda _: inner,
            inner,
            int(self.world.wall // HOUR) + 100,
            self.entropy.bytes(16),
            want_proof=True,
            entropy=self.entropy,
            long_term_secret=bytes(32),
            counter=1,
            secret=key or self.key,
        )

    def first(self, piece: bytes, others: list[bytes], data: bytes) -> bytes:
        """The first chunk of a file whose hash is that of ``data``."""
        return self.chunk(0, with_table(file_hash(data), list(map(envelope_id, others)), piece))

    def seal(self, data: bytes) -> list[bytes]:
        """All chunks of a file, as an honest author makes them."""
        first, *others = cut(data)
        sealed = [self.chunk(index, piece) for index, piece in enumerate(others, 1)]
        return [self.first(first, sealed, data), *sealed]

    def manifest(self, first: bytes, size: int, **changes: object) -> Manifest:
        told = Manifest(self.key, size, "x.txt", chunks=(envelope_id(first),))
        return replace(told, **changes)  # type: ignore[arg-type]

    def tell(self, manifest: Manifest, number: bytes = b"") -> bytes:
        sent = int(self.world.wall)
        body = Body(BodyType.FILE, number or self.entropy.bytes(8), sent, file=manifest)
        return self.dm(self.reader, "", raw=encode_body(body))

    @property
    def reader(self) -> Card:
        return Card.decode(self.victim.node.card_bytes())

    def give(self, *envelopes: bytes) -> None:
        if not self.node.links:
            self.node.dial(self.victim)
        self.node.give(*envelopes)
        self.world.run(2)

    @property
    def messages(self) -> list[Message]:
        return self.victim.store.messages(contact_chat(self.identity.fp))


def proofs(host: Host) -> int:
    return host.node.status(host.world.now).custody.proofs


def test_wrong_hash(world: World) -> None:
    """All pieces fit, the whole does not: the message stays with its reason, nothing is proven."""
    victim = world.host("Victim")
    liar = Liar(world, victim)
    data = content(whole(1) + 9)
    first, other = cut(data)
    sealed = [liar.chunk(1, other)]
    sealed.insert(0, liar.first(first, sealed, b"another file"))
    told = liar.manifest(sealed[0], len(data))
    liar.give(liar.tell(told), *sealed)
    (message,) = liar.messages
    assert message.reason == "file_damaged" and victim.store.file(message.id) is None
    assert counters(victim)["file_hash"] == 1 and complete(victim) == []
    assert proofs(victim) == 2, "the chunks came, the file did not"
    assert victim.node.status(world.now).custody.mine == 1, "the manifest; no chunk is pinned"
    tidy(victim)
    again = liar.tell(told)
    liar.give(again)
    victim.crash()
    assert len(liar.messages) == 2


@pytest.mark.parametrize("lie", ["index", "length", "key", "kind", "junk"])
def test_lying_chunk(world: World, lie: str) -> None:
    """A chunk that is not what the manifest says ends the file at once, and is not proven."""
    victim = world.host("Victim")
    liar = Liar(world, victim)
    data = content(whole(1) + 9)
    pieces = cut(data)
    bad = {
        "index": lambda: liar.chunk(2, pieces[1]),
        "length": lambda: liar.chunk(1, pieces[1] + b"x"),
        "key": lambda: liar.chunk(1, pieces[1], key=bytes(32)),
        "kind": lambda: liar.dm(liar.reader, "a text"),
        "junk": lambda: liar.chunk(1, pieces[1])[:-1] + b"!",
    }[lie]()
    first = liar.first(pieces[0], [bad], data)
    liar.give(liar.tell(liar.manifest(first, len(data))), first)
    liar.give(bad)  # on its own: what is small would come before the manifest
    told = [m for m in liar.messages if m.text.startswith("[file")]
    assert [m.reason for m in told] == ["file_damaged"]
    assert counters(victim)["file_chunk"] == 1
    tidy(victim)
    if lie == "kind":
        assert "a text" in [m.text for m in liar.messages], "it was for us all the same"


@pytest.mark.parametrize("lie", ["short", "none", "index", "itself", "twice"])
def test_lying_first_chunk(world: World, lie: str) -> None:
    """A first chunk whose table does not fit the manifest's size ends the file at once."""
    victim = world.host("Victim")
    liar = Liar(world, victim)
    data = content(whole(3) - 100)
    first, *pieces = cut(data)
    sealed = [liar.chunk(index, piece) for index, piece in enumerate(pieces, 1)]
    table = with_table(file_hash(data), list(map(envelope_id, sealed)), first)
    bad = {
        "short": lambda: liar.first(first[:-1], sealed, data),
        "none": lambda: liar.chunk(0, b"x"),
        "index": lambda: liar.chunk(1, table),
        "itself": lambda: liar.first(first, [sealed[0]], data),
        "twice": lambda: liar.first(first, [sealed[0], sealed[0]], data),
    }[lie]()
    liar.give(liar.tell(liar.manifest(bad, len(data))))
    liar.give(bad)
    (message,) = liar.messages
    assert message.reason == "file_damaged" and counters(victim)["file_chunk"] == 1
    assert proofs(victim) == 0
    tidy(victim)


def test_sealed_again_with_another_hash(world: World) -> None:
    """The table of a second sealing may name other envelopes, and no other file."""
    victim = world.host("Victim")
    liar = Liar(world, victim)
    data = content(whole(1) + 9)
    sealed = liar.seal(data)
    liar.give(liar.tell(liar.manifest(sealed[0], len(data)), b"numberxx"), sealed[0])
    again = liar.first(cut(data)[0], sealed[1:], b"another file")
    liar.give(liar.tell(liar.manifest(again, len(data)), b"numberxx"))
    liar.give(again)
    (message,) = liar.messages
    assert message.reason == "file_damaged" and counters(victim)["file_chunk"] == 1
    tidy(victim)


def test_a_manifest_told_twice(world: World) -> None:
    """The same manifest in another envelope takes nothing back of what the first chunk said."""
    victim = world.host("Victim")
    liar = Liar(world, victim)
    data = content(whole(1) + 9)
    sealed = liar.seal(data)
    told = liar.manifest(sealed[0], len(data))
    liar.give(liar.tell(told, b"numberxx"), sealed[0])
    liar.give(liar.tell(told, b"numberxx"))
    liar.give(sealed[1])
    (message,) = liar.messages
    assert victim.store.file(message.id) == data


def test_a_manifest_hides_nobodys_mail(world: World) -> None:
    """A friend who names another's sealed mail as a chunk, first or not, cannot hide it."""
    victim, honest = world.host("Victim"), world.host("Honest")
    befriend(victim, honest)
    liar = Liar(world, victim)
    message = honest.do(Send(contact_chat(victim.node.fp), "meet me at noon"))
    assert isinstance(message, Message)
    real = give(honest, victim, content(whole(1) + 3))
    held = [
        honest.store.envelope(eid) for eid in (message_eid(honest, message), *chunks(honest, real))
    ]
    named = [each.data for each in held if each]
    data = content(whole(1) + 9)
    for envelope in named:
        liar.give(liar.tell(liar.manifest(envelope, 1)))
        first = liar.first(cut(data)[0], [envelope], data)
        liar.give(liar.tell(liar.manifest(first, len(data))), first)
    world.link(honest, victim)
    world.run(5)
    assert "meet me at noon" in victim.texts(contact_chat(honest.node.fp))
    assert victim.store.file(real.id) is not None
    assert honest.state(message) == honest.state(real) == State.DELIVERED
    assert [m.reason for m in liar.messages] == ["file_damaged"] * 6


def message_eid(host: Host, message: Message) -> bytes:
    return now_of(host, message).eid


def test_another_file_under_the_same_message(world: World) -> None:
    """A second manifest with the number of the first is counted and changes nothing."""
    victim = world.host("Victim")
    liar = Liar(world, victim)
    data = content(whole(1) + 9)
    sealed = liar.seal(data)
    told = liar.manifest(sealed[0], len(data))
    liar.give(liar.tell(told, b"numberxx"), sealed[0])
    liar.give(liar.tell(replace(told, key=bytes(32)), b"numberxx"))
    assert counters(victim)["file_changed"] == 1
    liar.give(sealed[1])
    (message,) = liar.messages
    assert victim.store.file(message.id) == data


def test_a_strangers_file_waits_for_acceptance(world: World) -> None:
    """A request shows the manifest; no piece is kept, nothing proven, until it is accepted."""
    a, b = world.host("Aida"), world.host("Bolat")
    a.do(AddContact(b.node.card_text()))
    data = content(whole(2))
    message = give(a, b, data)
    world.link(a, b)
    world.run(70)
    assert b.texts(contact_chat(a.node.fp)) == [message.text]
    assert now_of(b, message).reason == "file_open"
    assert b.store.pieces(message.id) == [] and b.store.file(message.id) is None
    assert b.node.status(world.now).custody.mine == 0 and proofs(b) == 0
    b.crash()
    b.do(Accept(a.node.fp))
    world.run(2)
    assert b.store.file(message.id) == data
    world.run(70)
    world.meet(a, b)
    assert a.state(message) == State.DELIVERED


def test_strangers_may_begin_few_files(world: World) -> None:
    """Manifests of a stranger are bounded, and cost no room but their own."""
    victim = world.host("Victim")
    liar = Liar(world, victim, friend=False)
    for number in range(FILES_KNOWN_PER_STRANGER_MAX + 3):
        liar.give(liar.tell(replace(FAKE, key=bytes([number]) * 32)))
    assert len(victim.store.open_files()) == FILES_KNOWN_PER_STRANGER_MAX
    assert counters(victim)["files_open"] == 3


FAKE = Manifest(bytes(32), 1, "n", chunks=(b"e" * 16,))


def test_a_friends_files_take_turns(world: World) -> None:
    """So many are collected at once; the next is taken up when one of them is done."""
    victim = world.host("Victim")
    liar = Liar(world, victim)
    most, data = FILES_TAKEN_PER_CONTACT_MAX, b"a file of one chunk"
    sealed, told = [], []
    for number in range(most + 2):
        liar.key = bytes([number]) * 32
        sealed += liar.seal(data)
        told.append(liar.tell(liar.manifest(sealed[-1], len(data))))
    liar.give(*told)
    assert len(liar.messages) == most + 2
    liar.give(sealed[-1])
    assert complete(victim) == [], "its turn has not come"
    victim.crash()
    world.run(1)
    assert complete(victim) == []
    liar.give(*sealed[:2])
    assert len(complete(victim)) == 3, "the one that had come before is taken up"
    liar.give(*sealed[2:-1])
    assert len(complete(victim)) == most + 2
    tidy(victim)


def test_a_friends_manifests_are_bounded(world: World) -> None:
    """Beyond the bound a manifest is counted, carried like any mail, and shown to nobody."""
    victim = world.host("Victim")
    liar = Liar(world, victim)
    most = FILES_KNOWN_PER_CONTACT_MAX
    for number in range(most + 1):
        liar.give(liar.tell(replace(FAKE, key=bytes([number]) * 32)))
    assert len(liar.messages) == len(victim.store.open_files()) == most
    assert counters(victim)["files_open"] == 1


def test_ended_files_come_back_within_the_bound(world: World) -> None:
    """A file told of again after its end counts like a new one."""
    victim = world.host("Victim")
    liar = Liar(world, victim)
    most = FILES_KNOWN_PER_CONTACT_MAX
    told = [(replace(FAKE, key=bytes([n]) * 32), bytes([n]) * 8) for n in range(most)]
    for manifest, number in told:
        liar.give(liar.tell(manifest, number))
    liar.node.hang_up()
    world.run((100 + FILE_WAIT_H + 1) * HOUR)
    assert victim.store.open_files() == []
    for n in range(most):
        liar.give(liar.tell(replace(FAKE, key=bytes([n + most]) * 32)))
    assert len(victim.store.open_files()) == most
    liar.give(liar.tell(*told[0]))
    assert len(victim.store.open_files()) == most
    assert counters(victim)["files_open"] == 1


def test_a_blocked_friends_file_rests(world: World, three: tuple[Host, Host, Host]) -> None:
    """Blocking stops the collecting; unblocking takes it up where it was."""
    a, b, _ = three
    data = content(whole(2))
    message = give(a, b, data)
    ids = chunks(a, message)
    handover(world, a, b, now_of(a, message).eid, ids[0])
    world.run(2)
    b.do(Block(a.node.fp))
    handover(world, a, b, ids[1])
    world.run(2)
    assert len(b.store.pieces(message.id)) == 1
    b.do(Block(a.node.fp, blocked=False))
    world.run(2)
    assert b.store.file(message.id) == data


def test_nasty_name(world: World) -> None:
    """What a terminal obeys does not get into the conversation."""
    victim = world.host("Victim")
    liar = Liar(world, victim)
    told = replace(FAKE, name="\x1b[2J\u202egpj.exe\n../etc")
    liar.give(liar.tell(told), liar.tell(replace(told, name="\u200b", key=b"2" * 32)))
    assert [m.text for m in liar.messages] == [
        '[file "[2Jgpj.exe ../etc", 1 B]',
        '[file "without a name", 1 B]',
    ]
