"""Without cryptography: the same deliveries at the same instants, and the same bytes."""

from typing import Any

import pytest

from meshchat.core import crypto, link, noise
from meshchat.core.limits import Limits
from meshchat.errors import AuthError
from meshchat.sim import fast
from meshchat.sim.chance import Chance
from meshchat.sim.links import Radio
from meshchat.sim.ways import Contact, Wanted, changes
from meshchat.sim.world import World


def busy_world(without: bool, store_bytes: int, radio: Radio) -> World:
    """12 people, 300 random contacts, texts and files, crashes; full stores if they are small."""
    world = World(
        seed=4,
        fast=without,
        radios={"sim": radio},
        limits=Limits(store_bytes=store_bytes, own_share=1.0),
    )
    chance = Chance(8, "contacts")
    people = [world.person() for _ in range(12)]
    free = dict.fromkeys(((a, b) for a in range(12) for b in range(a + 1, 12)), 0.0)
    contacts, at = [], 0.0
    for _ in range(300):
        at += chance.exponential(60)
        pair = chance.pick([pair for pair, since in free.items() if since < at])
        free[pair] = at + 5 + chance.exponential(60)
        contacts.append(Contact(at, free[pair], *pair))
    for _ in range(80):
        src, dst = chance.sample(range(12), 2)
        size = 200 + chance.below(800) if chance.happens(0.7) else 10_000 + chance.below(200_000)
        world.send(Wanted(chance.uniform(0, at / 2), src, dst, size, 14_400))
    for number in range(6):
        world.at(chance.uniform(0, at), people[number].crash)
    world.follow(changes(contacts))
    world.run(until=at + 14_400)
    return world


@pytest.mark.parametrize("store_bytes", [256 << 20, 600_000])
@pytest.mark.parametrize(
    "radio", [Radio(), Radio(shared=True, loss=0.2, failure=0.2, latency_s=0.02, mtu=2_048)]
)
def test_same_deliveries_and_bytes(store_bytes: int, radio: Radio) -> None:
    """Everything that is measured is equal, also where stores overflow and nodes crash."""
    real, quick = (busy_world(without, store_bytes, radio) for without in (False, True))
    one, other = real.measure, quick.measure
    assert one.delivered > 30
    assert one.delivered_at == other.delivered_at
    assert one.bytes == other.bytes
    assert (one.hops, one.transmissions, one.frames) == (
        other.hops,
        other.transmissions,
        other.frames,
    )
    assert (one.sent, one.received, one.carried) == (other.sent, other.received, other.carried)
    assert real.events == quick.events
    assert real.trace_hash != quick.trace_hash  # keys do differ


def test_the_switch_leaves_nothing_behind() -> None:
    """Around every step of a fast world, cryptography is real again; worlds may take turns."""
    quick, real = World(fast=True), World(fast=False)
    for world in (quick, real, quick):
        a, b = world.person(), world.person()
        world.acquaint(a, b)
        world.meet(a, b)
        a.say(b, "hello")
        world.run(30)
        assert b.texts(a) == ["hello"]
        assert not fast.active()
        for name, function in fast._REAL.items():
            assert (getattr(crypto, name, None) or getattr(noise, name)) is function
        assert noise.dh is fast._REAL["dh"]
    with fast.mode(True):
        assert fast.active() and crypto.dh is not fast._REAL["dh"] is not noise.dh
    with pytest.raises(AuthError):
        crypto.aead_open(bytes(32), bytes(48), b"")


def test_handshakes_agree_and_notice() -> None:
    """Both ends of a link have each other's key, one hash and keys that fit; a wrong mesh key, a
    wrong prologue and a changed byte end it, as in a real one. Its messages are as long."""

    same = {"psks": (bytes(32), bytes(32)), "prologues": (b"p", b"p")}

    def ends(psks: tuple[bytes, bytes], prologues: tuple[bytes, bytes]) -> list[Any]:
        return [
            link.HandshakeState(
                link.NOISE_NAME,
                initiator=not n,
                prologue=prologues[n],
                s=crypto.x25519_keypair(bytes([1 + n]) * 32),
                e=crypto.x25519_keypair(bytes([3 + n]) * 32),
                psks=(psks[n],),
            )
            for n in range(2)
        ]

    for quick in (False, True):
        with fast.mode(quick):
            one, other = ends(**same)
            assert isinstance(one, fast._Handshake) is quick
            for number, size in enumerate(link.HANDSHAKE_FRAME_BYTES):
                speaker, hearer = (other, one) if number % 2 else (one, other)
                message = speaker.write_message()
                assert len(message) == size
                hearer.read_message(message)
            assert one.is_done and other.is_done
            assert one.handshake_hash == other.handshake_hash
            (forth, back), (theirs_back, theirs) = one.split(), other.split()
            assert (forth.k, back.k) == (theirs.k, theirs_back.k) and forth.k != back.k
            assert other.rs == crypto.x25519_public(b"\1" * 32)
            assert one.rs == crypto.x25519_public(b"\2" * 32)
            for wrong in ({"psks": (bytes(32), b"\1" * 32)}, {"prologues": (b"p", b"q")}):
                one, other = ends(**(same | wrong))
                with pytest.raises(AuthError):
                    other.read_message(one.write_message())
            one, other = ends(**same)
            message = one.write_message()
            with pytest.raises(AuthError):
                other.read_message(message[:-1] + bytes([message[-1] ^ 1]))


def test_stand_ins_agree_and_notice() -> None:
    """Both sides of an exchange get one secret; a wrong key or a lost frame is found out."""
    a, b = bytes(range(32)), bytes(range(32, 64))
    public_a, public_b = fast._x25519_public(a), fast._x25519_public(b)
    assert fast._dh(a, public_b) == fast._dh(b, public_a) != fast._dh(a, public_a)
    sealed = fast._aead_seal(a, b"text", b"ad")
    assert len(sealed) == 4 + crypto.TAG_BYTES and fast._aead_open(a, sealed, b"ad") == b"text"
    with pytest.raises(AuthError):
        fast._aead_open(b, sealed, b"ad")
    with pytest.raises(AuthError):
        fast._aead_open(a, sealed, b"ad", b"\1" * 12)
    fast._verify(fast._sign_public(a), b"text", fast._sign(a, b"text"))
    with pytest.raises(AuthError):
        fast._verify(fast._sign_public(b), b"text", fast._sign(a, b"text"))
