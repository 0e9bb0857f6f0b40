"""The Double Ratchet: against an independent implementation, and against loss and thieves."""

import asyncio
import json
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import doubleratchet
import pytest
from doubleratchet.recommended.diffie_hellman_ratchet_curve25519 import DiffieHellmanRatchet
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from msgspec.structs import replace

from meshchat.core import crypto
from meshchat.core.crypto import H
from meshchat.core.model import Prekey
from meshchat.core.ratchet import SKIP_MAX, Header, Ratchet, Skipped, mixed, step
from meshchat.core.sealed import agree_to_read, agree_to_write
from meshchat.errors import AuthError, ProtocolError, QuotaError

SID = b"session!"
ROOT = H(b"test", b"root", 32)
FPS = {"anna": H(b"test", b"anna", 32), "boris": H(b"test", b"boris", 32)}
OTHER = {"anna": "boris", "boris": "anna"}
SPK = crypto.x25519_keypair(H(b"test", b"spk", 32))


class Draws:
    """Random bytes that repeat from run to run."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def __call__(self, n: int = 32) -> bytes:
        return self._random.randbytes(n)


class Side:
    """A ratchet with what its owner keeps beside it."""

    def __init__(self, name: str, draw: Draws) -> None:
        self.name, self.draw = name, draw
        self.kept: dict[tuple[bytes, int], bytes] = {}
        if name == "anna":
            self.ratchet = Ratchet.start(ROOT, SPK[1], draw())
        else:
            self.ratchet = Ratchet.answer(ROOT, *SPK)

    def ends(self, sender: str) -> bytes:
        return FPS[sender] + FPS[OTHER[sender]]

    def seal(self, text: bytes) -> tuple[bytes, bytes]:
        """``(e, message)``."""
        e = self.draw()
        self.ratchet, message = self.ratchet.seal(SID, e, self.ends(self.name), text)
        return e, message

    def open(self, e: bytes, message: bytes) -> bytes:
        header, sealed = Header.decode(message), message[44:]
        ad = self.ends(OTHER[self.name]) + message[:44] + e
        kept = self.kept.get((header.key, header.number))
        if kept is not None:
            text = crypto.aead_open(mixed(kept, e), sealed, ad)
            del self.kept[header.key, header.number]
            return text
        after, skipped, key = self.ratchet.open(header, self.draw())
        text = crypto.aead_open(mixed(key, e), sealed, ad)
        self.ratchet = Ratchet.decode(after.encode())  # as it comes back from a store
        self.kept |= {(each.key, each.number): each.message_key for each in skipped}
        return text


# --- the independent implementation, with our labels -----------------------------------------


class RootKdf(doubleratchet.KDF):  # type: ignore[misc]
    @staticmethod
    async def derive(key: bytes, data: bytes, length: int) -> bytes:
        return H(b"mc1 dr-root", data, length, key)


class ChainKdf(doubleratchet.KDF):  # type: ignore[misc]
    @staticmethod
    async def derive(key: bytes, data: bytes, length: int) -> bytes:
        return H(b"mc1 dr-chain", b"", length, key)


class Aead(doubleratchet.AEAD):  # type: ignore[misc]
    """The one-use key ``e`` is the end of the associated data."""

    @staticmethod
    async def encrypt(plaintext: bytes, key: bytes, associated_data: bytes) -> bytes:
        return crypto.aead_seal(mixed(key, associated_data[-32:]), plaintext, associated_data)

    @staticmethod
    async def decrypt(ciphertext: bytes, key: bytes, associated_data: bytes) -> bytes:
        try:
            return crypto.aead_open(mixed(key, associated_data[-32:]), ciphertext, associated_data)
        except AuthError as error:
            raise doubleratchet.AuthenticationFailedException from error


class Oracle(doubleratchet.DoubleRatchet):  # type: ignore[misc]
    @staticmethod
    def _build_associated_data(associated_data: bytes, header: doubleratchet.Header) -> bytes:
        fps, e = associated_data[:64], associated_data[64:]
        ours = Header(
            SID,
            header.ratchet_pub,
            header.previous_sending_chain_length,
            header.sending_chain_length,
        )
        return fps + ours.encode() + e


SETTINGS: dict[str, Any] = {
    "diffie_hellman_ratchet_class": DiffieHellmanRatchet,
    "root_chain_kdf": RootKdf,
    "message_chain_kdf": ChainKdf,
    "message_chain_constant": b"\0",
    "dos_protection_threshold": SKIP_MAX,
    "max_num_skipped_message_keys": 1_024,
    "aead": Aead,
}
RESTORE = {key: value for key, value in SETTINGS.items() if key != "message_chain_constant"}


class OracleSide:
    """The same as ``Side``, by the package ``doubleratchet``."""

    def __init__(self, name: str, draw: Draws) -> None:
        self.name, self.draw = name, draw
        self.state: Oracle | None = None

    def seal(self, text: bytes) -> tuple[bytes, bytes]:
        e = self.draw()
        ad = FPS[self.name] + FPS[OTHER[self.name]] + e
        if self.state is None:
            assert self.name == "anna", "only one of them can begin"
            self.state, sealed = asyncio.run(
                Oracle.encrypt_initial_message(
                    shared_secret=ROOT,
                    recipient_ratchet_pub=SPK[1],
                    message=text,
                    associated_data=ad,
                    **SETTINGS,
                )
            )
        else:
            sealed = asyncio.run(self.state.encrypt_message(text, ad))
        header = Header(SID, *sealed.header)
        return e, header.encode() + sealed.ciphertext

    def open(self, e: bytes, message: bytes) -> bytes:
        header = Header.decode(message)
        ad = FPS[OTHER[self.name]] + FPS[self.name] + e
        sealed = doubleratchet.EncryptedMessage(doubleratchet.Header(*header[1:]), message[44:])
        if self.state is None:
            self.state, text = asyncio.run(
                Oracle.decrypt_initial_message(
                    shared_secret=ROOT,
                    own_ratchet_priv=SPK[0],
                    message=sealed,
                    associated_data=ad,
                    **SETTINGS,
                )
            )
        else:
            text = asyncio.run(self.state.decrypt_message(sealed, ad))
        return bytes(text)

    def restart(self) -> None:
        """What it writes to disk is all that is left of it."""
        if self.state is not None:
            stored = json.loads(json.dumps(self.state.json))
            self.state = Oracle.from_json(stored, **SETTINGS)


@pytest.mark.parametrize("ours", ["anna", "boris"])
def test_interoperates_with_an_independent_implementation(ours: str) -> None:
    """2,000 messages both ways, a tenth lost, many late, both restarted again and again: every
    one that arrives opens, and opens to what was written."""
    chance = random.Random(f"interop {ours}")
    sides: dict[str, Any] = {
        ours: Side(ours, Draws(1)),
        OTHER[ours]: OracleSide(OTHER[ours], Draws(2)),
    }
    under_way: list[tuple[str, bytes, bytes, bytes]] = []
    arrived = lost = turns = 0
    writer = "anna"
    for number in range(2_000):
        if number and chance.random() < 0.3 and arrived:
            writer, turns = OTHER[writer], turns + 1
        text = b"message %d" % number
        under_way.append((OTHER[writer], text, *sides[writer].seal(text)))
        if chance.random() < 0.05:
            sides[OTHER[ours]].restart()
        while len(under_way) > 20 or not arrived:
            to, expected, e, message = under_way.pop(chance.randrange(len(under_way)))
            if arrived and chance.random() < 0.1:
                lost += 1
                continue
            assert sides[to].open(e, message) == expected
            arrived += 1
    assert arrived > 1_700 and lost > 100 and turns > 400


# --- our own -----------------------------------------------------------------------------------


def talking(rounds: int = 3) -> tuple[Side, Side]:
    """Two who have exchanged some messages."""
    anna, boris = Side("anna", Draws(3)), Side("boris", Draws(4))
    for number in range(rounds):
        assert boris.open(*anna.seal(b"%d" % number)) == b"%d" % number
        assert anna.open(*boris.seal(b"re %d" % number)) == b"re %d" % number
    return anna, boris


def test_bit_flips_change_nothing() -> None:
    """Each of 300 single flips is refused, and the true message opens after all of them."""
    anna, boris = talking()
    e, message = anna.seal(b"the true one")
    whole, chance = e + message, random.Random(5)
    before = boris.ratchet, dict(boris.kept)
    for _ in range(300):
        bit = chance.randrange(len(whole) * 8)
        bent = bytearray(whole)
        bent[bit // 8] ^= 1 << bit % 8
        if bytes(bent[32:40]) != SID:
            continue  # another session's: the store does not find it
        with pytest.raises(ProtocolError):
            boris.open(bytes(bent[:32]), bytes(bent[32:]))
        assert (boris.ratchet, boris.kept) == before
    assert boris.open(e, message) == b"the true one"


def test_a_thief_of_the_state_is_locked_out_by_one_round_trip() -> None:
    """Healing: whoever copied everything Boris had cannot read after both have spoken anew."""
    anna, boris = talking()
    thief = Side("boris", Draws(6))
    thief.ratchet, thief.kept = boris.ratchet, dict(boris.kept)
    now = anna.seal(b"the thief reads this")
    assert thief.open(*now) == boris.open(*now) == b"the thief reads this"
    anna.open(*boris.seal(b"a new key of Boris"))
    later = anna.seal(b"the thief does not read this")
    with pytest.raises(ProtocolError):
        thief.open(*later)
    assert boris.open(*later) == b"the thief does not read this"


def test_a_key_is_gone_once_it_was_used() -> None:
    """Forward secrecy: the state after a message does not open that message, or any before.

    The thief does not care for the numbers that a reader keeps, only for keys.
    """
    anna, boris = talking()
    first, second, third = (anna.seal(text) for text in (b"first", b"second", b"third"))
    boris.open(*second)
    boris.open(*first)
    keys = [*boris.kept.values(), boris.ratchet.root]
    for chain in (boris.ratchet.receiving, boris.ratchet.sending):
        for _ in range(8):
            chain, key = step(chain)
            keys += [chain, key]

    def opens(e: bytes, message: bytes) -> bool:
        for key in keys:
            try:
                crypto.aead_open(mixed(key, e), message[44:], boris.ends("anna") + message[:44] + e)
            except AuthError:
                continue
            return True
        return False

    assert opens(*third), "the same thief reads what has not come yet: the test can fail"
    assert not opens(*first) and not opens(*second)


def test_a_restored_sender_repeats_no_key_stream() -> None:
    """The same place of the same chain, sealed twice from one old copy: two different keys."""
    anna, boris = talking()
    old = anna.ratchet
    e_1, first = anna.seal(b"A" * 64)
    anna.ratchet = old
    e_2, second = anna.seal(b"B" * 64)
    assert first[:44] == second[:44], "the same chain and number"
    stream = [bytes(a ^ b for a, b in zip(first[44:108], b"A" * 64, strict=True))]
    stream.append(bytes(a ^ b for a, b in zip(second[44:108], b"B" * 64, strict=True)))
    assert not any(stream[0][at : at + 8] in stream[1] for at in range(56))
    assert boris.open(e_1, first) == b"A" * 64
    with pytest.raises(AuthError):
        boris.open(e_2, second)  # lost, and nothing but lost


def test_nobody_makes_us_hash_for_ever() -> None:
    """A message far ahead, or a long chain before it, is refused before any work."""
    anna, boris = talking()
    e, message = anna.seal(b"far")
    header = Header.decode(message)
    for bent in (
        header._replace(number=SKIP_MAX + 10),
        header._replace(key=crypto.x25519_public(b"k" * 32), previous=65_535),
    ):
        with pytest.raises(QuotaError):
            boris.ratchet.open(bent, bytes(32))
    for point in (bytes(32), b"\x01" + bytes(31)):
        with pytest.raises(AuthError):
            boris.ratchet.open(header._replace(key=point), bytes(32))
    assert boris.open(e, message) == b"far"


def test_reflection_is_refused() -> None:
    """A message sent back to its writer does not open there."""
    anna, boris = talking()
    e, message = anna.seal(b"mine")
    with pytest.raises(ProtocolError):
        anna.open(e, message)
    assert boris.open(e, message) == b"mine"


class Conversation(RuleBasedStateMachine):
    """Send, deliver, lose, repeat, bend, forget a step: what arrives is what was written, once."""

    def __init__(self) -> None:
        super().__init__()
        self.sides = {"anna": Side("anna", Draws(8)), "boris": Side("boris", Draws(9))}
        self.air: list[tuple[str, bytes, bytes, bytes]] = []
        self.shown: dict[str, list[bytes]] = {"anna": [], "boris": []}
        self.sent = 0

    @rule(name=st.sampled_from(["anna", "boris"]))
    def send(self, name: str) -> None:
        side = self.sides[name]
        if side.ratchet.sending:
            self.sent += 1
            text = b"%s %d" % (name.encode(), self.sent)
            self.air.append((OTHER[name], text, *side.seal(text)))

    @rule(data=st.data(), repeat=st.booleans())
    def deliver(self, data: st.DataObject, repeat: bool) -> None:
        if not self.air:
            return
        place = data.draw(st.integers(0, len(self.air) - 1))
        to, text, e, message = self.air[place] if repeat else self.air.pop(place)
        side = self.sides[to]
        if text in self.shown[to]:
            with pytest.raises(ProtocolError):
                side.open(e, message)
            return
        if Header.decode(message).key != side.ratchet.theirs and not side.ratchet.theirs:
            assert to == "boris", "only Boris waits for a first message"
        assert side.open(e, message) == text
        self.shown[to].append(text)

    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        if self.air:
            self.air.pop(data.draw(st.integers(0, len(self.air) - 1)))

    @rule(data=st.data(), bit=st.integers(0, 10_000))
    def bend(self, data: st.DataObject, bit: int) -> None:
        if not self.air:
            return
        to, _, e, message = self.air[data.draw(st.integers(0, len(self.air) - 1))]
        bent = bytearray(message)
        place = 8 + bit // 8 % (len(bent) - 8)  # past the session id
        bent[place] ^= 1 << bit % 8
        side = self.sides[to]
        before = side.ratchet, dict(side.kept)
        with pytest.raises(ProtocolError):
            side.open(e, bytes(bent))
        assert (side.ratchet, side.kept) == before

    @rule(name=st.sampled_from(["anna", "boris"]))
    def restart(self, name: str) -> None:
        side = self.sides[name]
        side.ratchet = Ratchet.decode(side.ratchet.encode())

    @invariant()
    def nothing_twice(self) -> None:
        for texts in self.shown.values():
            assert len(set(texts)) == len(texts)


TestConversation = Conversation.TestCase
TestConversation.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)


def test_state_survives_its_own_form() -> None:
    """Encoded and decoded it is the same, at every stage."""
    anna, boris = Side("anna", Draws(1)), Side("boris", Draws(2))
    boris.open(*anna.seal(b"x"))
    for ratchet in (anna.ratchet, boris.ratchet, Ratchet.answer(ROOT, *SPK)):
        assert Ratchet.decode(ratchet.encode()) == ratchet
    assert replace(anna.ratchet, sent=7).encode() != anna.ratchet.encode()
    assert Skipped(b"k", 1, b"m") == (b"k", 1, b"m")


VECTOR = json.loads((Path(__file__).parents[1] / "vectors" / "sessions.json").read_text("utf-8"))


def unhex(name: str, of: dict[str, Any]) -> bytes:
    return bytes.fromhex(of[name])


def test_frozen_vectors() -> None:
    """A conversation made without our code: agreement, four turns, every byte, both roles."""
    a, b = VECTOR["a"], VECTOR["b"]
    spk = crypto.x25519_keypair(unhex("prekey_secret", b))
    ek_secret, ek = crypto.x25519_keypair(unhex("ek_secret", VECTOR))
    people = {
        name: SimpleNamespace(
            dh_secret=unhex("dh_secret", each),
            dh_public=crypto.x25519_public(unhex("dh_secret", each)),
            fp=unhex("fp", each),
            prekey=spk[1],
        )
        for name, each in (("a", a), ("b", b))
    }
    agreed = unhex("root", VECTOR), unhex("sid", VECTOR)
    assert agree_to_write(people["a"], ek_secret, ek, people["b"]) == agreed  # type: ignore[arg-type]
    prekey = Prekey(spk[1], spk[0], 0, 0.0)
    assert agree_to_read(people["b"], prekey, people["a"], ek) == agreed  # type: ignore[arg-type]
    root, sid = agreed
    first = unhex("ratchet_secret", VECTOR["messages"][0])
    sides = {"a": Ratchet.start(root, spk[1], first), "b": Ratchet.answer(root, *spk)}
    for place, message in enumerate(VECTOR["messages"]):
        writer, reader = message["writer"], "b" if message["writer"] == "a" else "a"
        e, text, data = (unhex(name, message) for name in ("e", "text", "message"))
        ends = people[writer].fp + people[reader].fp
        sides[writer], sealed = sides[writer].seal(sid, e, ends, text)
        assert sealed == data
        # The reader's next ratchet key is the one of the next turn.
        later = [m for m in VECTOR["messages"][place:] if m["writer"] == reader]
        fresh = unhex("ratchet_secret", later[0]) if later else bytes(32)
        sides[reader], skipped, key = sides[reader].open(Header.decode(data), fresh)
        assert not skipped
        assert crypto.aead_open(mixed(key, e), data[44:], ends + data[:44] + e) == text
