"""Attacks of docs/explain/attacks.md that no other test is about, on real nodes where it can be."""

import ast
import re
import zlib
from collections import Counter
from copy import deepcopy
from pathlib import Path

import pytest
from mallory import Mallory, Stranger, junk
from sealing import ANNA, BORIS, fixed
from test_hostile import befriend, counters, envelope_of, inbox, pair, send
from world import Host, World

from meshchat.core import crypto, hello, sealed
from meshchat.core import link as wire_link
from meshchat.core.body import BodyType
from meshchat.core.crypto import TAG_BYTES, aead_open
from meshchat.core.envelope import envelope_id, seal
from meshchat.core.events import AddContact, Notice, Rename, Send, SendFrames
from meshchat.core.identity import Identity, make_card
from meshchat.core.limits import CLASS_SIZES_BYTES, EXPIRY_AHEAD_MAX_H, Limits
from meshchat.core.model import Kind, Trust, contact_chat
from meshchat.core.sealed import announce
from meshchat.core.wire import read_wants, write_ids, write_wants
from meshchat.errors import AuthError
from meshchat.sim.memory import MemoryStore

PACKAGE = Path(__file__).parents[2] / "meshchat"
MARKER = "marker of the secret words"


@pytest.fixture
def world() -> World:
    return World()


# --- identity ----------------------------------------------------------------------------------


def test_two_thousand_forged_announces_change_nobody(world: World) -> None:
    """Attack 3: by somebody who has every card of the town, with new names and keys."""
    a, b = pair(world)
    before = b.store.contact(a.node.fp)
    forger = Stranger(world, "Forger")
    ((secret, _),) = b.node._people.announce_secrets()
    now_h = int(world.wall // 3_600)
    forged = []
    for number in range(2_000):
        own = fixed(f"key {number}")
        if number % 2:  # a card of his own, or hers under his signature
            card = make_card(forger.identity, own, crypto.x25519_public(own), now_h + 190)
        else:
            card = b.node._people.card_of(a.node.fp)
        forged.append(
            seal(
                lambda e, card=card: announce(forger.identity, card, e, 7, forger_body(forger)),  # type: ignore[misc]
                b"",
                now_h + 50,
                forger.entropy.bytes(16),
                want_proof=False,
                entropy=forger.entropy,
                long_term_secret=bytes(32),
                counter=number,
                secret=secret,
            )
        )
    mallory = Mallory(world)
    mallory.dial(b, supervised=True)
    for start in range(0, 2_000, 400):
        mallory.give(*forged[start : start + 400])
        world.run(61)
    world.run(120)
    assert sum(counters(b).get(why, 0) for why in ("announce_card", "bad_signature")) > 1_000
    assert b.store.contact(a.node.fp) == before
    assert [contact.fp for contact in b.store.contacts()] == [a.node.fp]


def forger_body(forger: Stranger) -> bytes:
    from meshchat.core.body import Body, encode_body

    return encode_body(Body(BodyType.PROFILE, bytes(8), int(forger.world.wall), "", "Evil"))


@pytest.mark.parametrize("caps", [1 << bit for bit in range(0, 32, 5)] + [0xFFFF_FFFF])
def test_no_capability_turns_encryption_off(
    world: World, monkeypatch: pytest.MonkeyPatch, caps: int
) -> None:
    """Attack 5: both ends claim any bits; not a word is in the clear, on a link or in a store."""
    honest = hello.make_hello
    monkeypatch.setattr(
        "meshchat.core.neighbours.make_hello",
        lambda *args: honest(*args, caps=caps & CAPS_MASK),
    )
    frames: list[bytes] = []

    def listen(_host: Host, effect: SendFrames) -> tuple[bytes, ...]:
        frames.extend(effect.frames)
        return effect.frames

    world.meddle = listen
    a, b = world.host("Aida"), world.host("Bolat")
    befriend(a, b)
    world.link(a, b)
    world.run(2)
    message = send(a, b, MARKER)
    sealed_bytes = envelope_of(a, message).data
    world.run(70)
    assert inbox(b, a) == [MARKER]
    assert MARKER[:8].encode() not in b"".join(frames) + sealed_bytes


CAPS_MASK = (1 << 8 * (hello._HELLO.size - 2)) - 1
"""As many bits as a HELLO has for them."""


def test_a_chat_is_with_a_key_and_not_with_a_name(world: World) -> None:
    """Attack 7: the name moves to somebody else between opening the chat and writing."""
    a, b = pair(world)
    chat = contact_chat(b.node.fp)
    eve = world.host("Eve")
    a.do(Rename(b.node.fp, "Somebody"))
    a.do(AddContact(eve.node.card_text(), "Bolat"))
    eve.do(AddContact(a.node.card_text()))
    a.do(Send(chat, "for the first one"))
    for other in (b, eve):
        world.meet(a, other)
    assert inbox(b, a) == ["for the first one"] and inbox(eve, a) == []


def test_a_key_of_another_under_a_name_of_ones_own(world: World) -> None:
    """Attack 12: the same keys under two identities agree on nothing, and are no new person."""
    fps = [ANNA.identity.fp + BORIS.identity.fp, ANNA.identity.fp + bytes(32)]
    assert len({sealed._agree(bytes(96), each, bytes(32), bytes(32)) for each in fps}) == 2
    a, b = pair(world)
    # Bolat's signing key was taken: with it anybody can sign a card with another key inside.
    thief = Stranger(world, "Bolat")
    own = b.node._people.identity
    thief.identity = Identity(
        own.seed,
        own.sign_seed,
        own.sign_public,
        thief.identity.dh_secret,
        thief.identity.dh_public,
        crypto.H(b"mc1 id", own.sign_public + thief.identity.dh_public, 32),
    )
    thief.card = make_card(thief.identity, bytes(32), thief.card.prekey, thief.card.exp_h)
    mallory = Mallory(world)
    mallory.dial(a)
    mallory.give(thief.dm(b.node._people.card_of(a.node.fp), "hello, it is me"))
    world.run(2)
    assert counters(a).get("split_identity") == 1
    assert [contact.fp for contact in a.store.contacts()] == [b.node.fp]


def test_two_copies_of_one_profile_find_out(world: World) -> None:
    """Attack 9: the folder was copied. Once each has announced a key of its own, each is told."""
    world = World(make_store=MemoryStore)
    a, b = pair(world)
    copied = world.host("Copy")
    copied.store = deepcopy(a.store)
    copied.node = copied._start()
    world.meet(a, b)
    assert not any(told == Notice("used_elsewhere") for host in world.hosts for told in host.told)
    world.mono += 86_400
    world.wall += 86_400
    world.run(5)
    for one, other in ((a, b), (b, copied), (copied, b), (b, a)):
        world.meet(one, other, 40)
    for host, warned in ((a, True), (copied, True), (b, False)):
        assert (Notice("used_elsewhere") in host.told) is warned


def test_an_old_announce_sealed_again_frightens_nobody(world: World) -> None:
    """Every contact has the key of our announces, and can bring back what we signed long ago."""
    a, b = pair(world)
    people = a.node._people
    card = b.node._people.card_of(a.node.fp)
    for _ in range(10):
        world.mono += 86_400
        world.wall += 86_400
        world.run(5)
    again = seal(
        lambda e: announce(people.identity, card, e, 0, forger_body(Stranger(world, "Friend"))),
        b"",
        int(world.wall // 3_600) + 50,
        bytes(16),
        want_proof=False,
        entropy=world.hosts[1].entropy,
        long_term_secret=bytes(32),
        counter=1,
        secret=people.announce_key,
    )
    mallory = Mallory(world)
    mallory.dial(a)
    mallory.give(again)
    world.run(5)
    assert a.store.envelope(envelope_id(again)) is not None
    assert Notice("used_elsewhere") not in a.told


def test_signatures_have_labels_of_their_own() -> None:
    """Attack 13: what is signed for one purpose is read by one place, under one label."""
    signed, checked = Counter[bytes](), Counter[bytes]()
    for path in sorted((PACKAGE / "core").rglob("*.py")):
        text = path.read_text("utf-8")
        if "sign(" not in text and "verify(" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.Call):
                continue
            name = ast.unparse(node.func).rpartition(".")[2]
            if name in ("sign", "verify") and len(node.args) > 1:
                labels = [
                    part.value
                    for part in ast.walk(node.args[1])
                    if isinstance(part, ast.Constant) and isinstance(part.value, bytes)
                ]
                assert len(labels) <= 1
                (signed if name == "sign" else checked).update(labels)
    assert len(signed) >= 4 and set(signed) == set(checked)
    assert set(signed.values()) | set(checked.values()) == {1}
    assert not any(one != other and one.startswith(other) for one in signed for other in signed)


# --- what is inside, and what is said about it ---------------------------------------------------


def test_size_says_nothing_about_the_words(world: World) -> None:
    """Attacks 19 and 57: nothing is compressed; texts of one length look alike, and so do most."""
    a, b = pair(world)
    plain = envelope_of(a, send(a, b, "a" * 1_000)).data
    rich = envelope_of(a, send(a, b, fixed("rich", 500).hex())).data
    assert len(plain) == len(rich) == CLASS_SIZES_BYTES[1]
    sizes = {len(envelope_of(a, send(a, b, "a" * n)).data) for n in (1, 20, 300, 2_000, 7_000)}
    assert sizes <= set(CLASS_SIZES_BYTES)


def test_equal_texts_and_equal_blocks_look_like_noise(world: World) -> None:
    """Attack 23: no block of 16 bytes comes twice, in one envelope or in two of the same text."""
    a, b = pair(world)
    seen: Counter[bytes] = Counter()
    for _ in range(3):
        data = envelope_of(a, send(a, b, "sixteen letters!" * 64)).data[80:]
        seen.update(data[at : at + 16] for at in range(0, len(data) - 15, 16))
        assert len(zlib.compress(data)) > len(data)
    assert set(seen.values()) == {1}


def test_tags_are_long_and_cannot_be_guessed() -> None:
    """Attack 21: sixteen bytes in each kind of ciphertext; ten thousand guesses open nothing."""
    assert TAG_BYTES == 16
    sealed_bytes = crypto.aead_seal(bytes(32), b"words", b"")
    assert len(sealed_bytes) == len(b"words") + 16
    guess = bytearray(sealed_bytes)
    for number in range(10_000):
        guess[-16:] = crypto.H(b"test", number.to_bytes(4, "big"), 16)
        with pytest.raises(AuthError):
            aead_open(bytes(32), bytes(guess), b"")


def test_a_broken_envelope_is_answered_like_any_other() -> None:
    """Attack 20: one byte anywhere: the reader does with it what a stranger does, and says so."""
    heard = []
    for recipient in (True, False):
        world = World()
        a, b = pair(world)
        victim = b if recipient else world.host("Other")
        data = envelope_of(a, send(a, b, "never mind")).data
        mallory = Mallory(world)
        mallory.dial(victim)
        broken = []
        for at in range(80, len(data), 9):
            bent = bytearray(data)
            bent[at] ^= 1
            broken.append(bytes(bent))
        mallory.give(*broken)
        world.run(100)
        heard.append([(kind, len(body)) for kind, body in mallory.heard])
        assert inbox(b, a) == [] and victim.links
        kinds = {victim.store.envelope(envelope_id(each)).kind for each in broken}  # type: ignore[union-attr]
        assert kinds == {Kind.CARRIED}
    assert heard[0] == heard[1]


SECRET_NAMES = {"kc", "mac", "signature", "commitment", "_token", "psk", "authenticator"}
COMPARED_IN = ("core", "net")


def test_secrets_are_compared_in_constant_time() -> None:
    """Attack 22: nothing that an attacker tries to guess stands beside ``==``."""
    for folder in COMPARED_IN:
        for path in sorted((PACKAGE / folder).rglob("*.py")):
            text = path.read_text("utf-8")
            if not any(name in text for name in SECRET_NAMES):
                continue
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq | ast.NotEq):
                    sides = (node.left, *node.comparators)
                    names = {ast.unparse(side).rpartition(".")[2] for side in sides}
                    assert not names & SECRET_NAMES, f"{path.name}:{node.lineno}"


# --- what is not there -------------------------------------------------------------------------

UNUSED = frozenset(
    (
        *("zlib", "gzip", "bz2", "lzma", "zipfile", "tarfile", "PIL", "wave", "xml"),  # bombs
        *("pickle", "marshal", "shelve"),  # code of others
        *("urllib", "http", "ftplib", "requests", "aiohttp", "httpx", "webbrowser"),  # fetching
    )
)
OWN_FILES = ("sim", "ui/browser.py")
"""The simulator reads files of researchers, packed ones too, and its demo shows itself in a
browser of this machine: no peer gets near either."""


def test_nothing_unpacks_fetches_or_opens_what_others_send() -> None:
    """Attacks 31, 51, 66: no decompression, no pictures, no addresses to go to, no viewer."""
    seen = 0
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.relative_to(PACKAGE).as_posix().startswith(OWN_FILES):
            continue
        seen += 1
        text = path.read_text("utf-8")
        for found in re.findall(r"^\s*(?:import|from) ([a-zA-Z_]+)", text, re.MULTILINE):
            assert found not in UNUSED, path
        assert not re.search(r"startfile|xdg-open|os\.system", text), path
    assert seen > 150


# --- floods, loops, holes ------------------------------------------------------------------------


def test_a_flood_moves_no_faster_than_a_stranger_may(world: World) -> None:
    """Attack 34: two thousand new envelopes on one link: asked for at the rate of one person,
    and what a friend brings meanwhile is there at once."""
    limits = Limits()
    a, b = pair(world)
    mallory = Mallory(world)
    mallory.dial(b, supervised=True)
    flood = [junk(number, world) for number in range(2_000)]
    began = world.mono
    for start in range(0, len(flood), 500):
        mallory.give(*flood[start : start + 500])
    world.run(5)
    asked = sum(len(read_wants(body)) for body in mallory.bodies(wire_link.WANT))
    most = limits.envelopes_burst + limits.envelopes_per_s * (world.mono - began)
    assert limits.envelopes_burst <= asked <= most
    world.link(a, b)
    message = send(a, b, "in the middle of it")
    world.run(1)
    assert inbox(b, a) == ["in the middle of it"]
    world.run(70)
    assert a.state(message) == "delivered"


def test_an_envelope_crosses_each_link_of_a_ring_once(world: World) -> None:
    """Attack 44: four nodes, each linked with all others; nothing circles."""
    hosts = [world.host(name) for name in ("Aida", "Bolat", "Chingiz", "Dana")]
    befriend(hosts[0], hosts[3])
    crossed: Counter[tuple[str, int]] = Counter()

    def count(host: Host, effect: SendFrames) -> tuple[bytes, ...]:
        crossed[host.name, effect.link] += sum(map(len, effect.frames))
        return effect.frames

    for one in range(4):
        for other in range(one):
            world.link(hosts[one], hosts[other], supervised=True)
    world.run(60)
    world.meddle = count
    message = send(hosts[0], hosts[3], "x" * 6_000)
    world.run(120)
    assert hosts[0].state(message) == "delivered"
    size = len(envelope_of_any(hosts, message.eid))
    copies = sum(crossed.values()) / size
    assert copies < len(hosts) + 1, "each of the three others takes it once; the rest is talk"
    before = sum(crossed.values())
    world.run(4 * 3_600)
    assert sum(crossed.values()) - before < 24 * size, "and afterwards it rests"


def envelope_of_any(hosts: list[Host], eid: bytes) -> bytes:
    for host in hosts:
        held = host.store.envelope(eid)
        if held is not None:
            return held.data
    return bytes(CLASS_SIZES_BYTES[2])  # proven everywhere


def test_a_hole_that_takes_it_first_does_not_keep_it(world: World) -> None:
    """Attacks 36 and 38: it says STORED to everybody and gives nothing; who comes later carries."""
    a, b = pair(world)
    carrier = world.host("Carrier")
    hole = Mallory(world, "Hole")
    message = send(a, b, "by whatever way")
    data = envelope_of(a, message).data
    hole.dial(a)
    world.run(1)
    hole.say(hole.next(), (wire_link.WANT, write_wants([(envelope_id(data), 0, False)])))
    world.run(1)
    hole.say((wire_link.STORED, write_ids([envelope_id(data)])))
    world.run(1)
    assert a.state(message) == "carried", "said by a liar, and no more than that"
    world.meet(a, carrier, 40)
    world.meet(carrier, b, 40)
    assert inbox(b, a) == ["by whatever way"]


def test_no_life_beyond_what_there_can_be(world: World) -> None:
    """Attacks 42 and 43: an hour of the far future is refused, whoever sets the byte."""
    b = world.host("Bolat")
    mallory = Mallory(world)
    mallory.dial(b)
    kept, refused = (
        junk(n, world, life_h=life)
        for n, life in enumerate((EXPIRY_AHEAD_MAX_H, EXPIRY_AHEAD_MAX_H + 1))
    )
    mallory.give(kept, refused)
    world.run(5)
    assert b.store.envelope(envelope_id(kept)) is not None
    assert b.store.envelope(envelope_id(refused)) is None
    assert counters(b)["refused_expired"] == 1


def test_trust_is_never_given_by_a_card_or_a_link(world: World) -> None:
    """Attack 1: two who met over a stranger's relay are unverified, whatever passed between."""
    a, b = pair(world)
    world.link(a, b)
    world.run(5)
    send(a, b, "is it you?")
    world.run(70)
    for one, other in ((a, b), (b, a)):
        contact = one.store.contact(other.node.fp)
        assert contact is not None and contact.trust is Trust.UNVERIFIED
