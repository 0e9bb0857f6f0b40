"""Epochs of a group: what its members are told, and every key that follows from it.

Layouts and derivations of docs/reference/wire.md, section 5.7. Nothing here knows a store or a
clock. Reading raises ``ProtocolError`` and nothing else on whatever bytes it is given.
"""

import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

from msgspec import Struct

from meshchat.core.crypto import KEY_BYTES, H
from meshchat.core.identity import NAME_MAX_BYTES
from meshchat.core.limits import GROUP_JUMP_MAX, GROUP_MEMBERS_MAX
from meshchat.core.model import GroupMember
from meshchat.errors import AuthError, QuotaError, WireError

GID_BYTES = 16
EPOCH_BYTES = 8  # of an epoch id
MEMBER_FP_BYTES = 16  # of a fingerprint: with whole ones a full group needs the next size
GENERATION_MAX = 1 << 31

_NONE = bytes(EPOCH_BYTES)
_NO_KEY = bytes(KEY_BYTES)
_REKEY = struct.Struct("<B16s8s8s32sIBII")
_MEMBER = struct.Struct("<16s32s")
_KEY = struct.Struct("<B16s32s")
_NOTE = struct.Struct("<B16s")
_GONE = struct.Struct("<B16sI")
_SEIZED = struct.Struct("<B16s16s")
_KEYS = struct.Struct("<BB")
_FILL = struct.Struct("<B32s")


class ControlKind(IntEnum):
    """First byte of a control message."""

    REKEY = 1
    """From an admin: a new epoch."""
    KEY = 2
    """To an admin: the key our messages are signed with."""
    LEAVE = 3
    """To an admin: rekey without me."""
    GONE = 4
    """From an admin: you are no member any more."""
    SEIZED = 5
    """To an admin: this member's device is in the wrong hands."""
    KEYS = 6
    """From an admin, to all members at once: keys that were not known before."""


class Rekey(Struct, frozen=True):
    """A new epoch, as each member is told it."""

    gid: bytes
    parents: tuple[bytes, ...]
    root: bytes
    """32 bytes every key of the epoch comes from; nobody keeps it."""
    generation: int
    members: tuple[GroupMember, ...]
    direct: int
    """Bit n: the author sends this to member n itself; other admins reach the rest."""
    name: str
    """A peer's raw words."""


class Key(NamedTuple):
    gid: bytes
    key: bytes


class Leave(NamedTuple):
    gid: bytes


class Gone(NamedTuple):
    gid: bytes
    generation: int
    """Of the epoch that is without the reader: a later one may list them again."""


class Seized(NamedTuple):
    gid: bytes
    fp: bytes
    """16 bytes."""


class Keys(NamedTuple):
    found: tuple[tuple[int, bytes], ...]
    """Place in the epoch's list, and key."""


Control = Rekey | Key | Leave | Gone | Seized | Keys


class EpochKeys(NamedTuple):
    """Everything that is kept of a root."""

    eid: bytes
    head_key: bytes
    chains: tuple[bytes, ...]
    """The first chain key of each member, in the order of the list."""


# --- layouts ---------------------------------------------------------------------------------


def encode_control(control: Control) -> bytes:
    """Write a control message whose fields are those of a valid one."""
    match control:
        case Rekey():
            return _encode_rekey(control)
        case Key(gid, key):
            return _KEY.pack(ControlKind.KEY, gid, key)
        case Leave(gid):
            return _NOTE.pack(ControlKind.LEAVE, gid)
        case Gone(gid, generation):
            return _GONE.pack(ControlKind.GONE, gid, generation)
        case Seized(gid, fp):
            return _SEIZED.pack(ControlKind.SEIZED, gid, fp)
        case Keys(found):
            return _KEYS.pack(ControlKind.KEYS, len(found)) + b"".join(
                _FILL.pack(index, key) for index, key in found
            )


def decode_control(data: bytes) -> Control:
    """Read a control message.

    Raises:
        WireError: Anything but the exact form.
    """
    if not data:
        raise WireError("group_control")
    kind = data[0]
    if kind == ControlKind.REKEY:
        return _decode_rekey(data)
    if kind == ControlKind.KEYS:
        return _decode_keys(data)
    if kind == ControlKind.KEY and len(data) == _KEY.size:
        _, gid, key = _KEY.unpack(data)
        if key == _NO_KEY:
            raise WireError("group_control")
        return Key(gid, key)
    if kind == ControlKind.LEAVE and len(data) == _NOTE.size:
        return Leave(data[1:])
    if kind == ControlKind.GONE and len(data) == _GONE.size:
        return Gone(*_GONE.unpack(data)[1:])
    if kind == ControlKind.SEIZED and len(data) == _SEIZED.size:
        return Seized(*_SEIZED.unpack(data)[1:])
    raise WireError("group_control")


def _encode_rekey(rekey: Rekey) -> bytes:
    parents = (*rekey.parents, _NONE, _NONE)[:2]
    admins = sum(member.admin << place for place, member in enumerate(rekey.members))
    head = _REKEY.pack(
        ControlKind.REKEY,
        rekey.gid,
        *parents,
        rekey.root,
        rekey.generation,
        len(rekey.members),
        admins,
        rekey.direct,
    )
    listed = (_MEMBER.pack(member.fp, member.key or _NO_KEY) for member in rekey.members)
    return head + b"".join(listed) + rekey.name.encode()


def _decode_rekey(data: bytes) -> Rekey:
    if len(data) < _REKEY.size:
        raise WireError("group_rekey")
    _, gid, one, other, root, generation, count, admins, direct = _REKEY.unpack_from(data)
    end = _REKEY.size + count * _MEMBER.size
    if not 1 <= count <= GROUP_MEMBERS_MAX or len(data) < end:
        raise WireError("group_count")
    if not 1 <= len(data) - end <= NAME_MAX_BYTES:
        raise WireError("group_name")
    if not 0 < admins < 1 << count or direct >= 1 << count:
        raise WireError("group_rekey")
    parents = tuple(parent for parent in (one, other) if parent != _NONE)
    if (other != _NONE and one >= other) or bool(generation) is not bool(parents):
        raise WireError("group_parents")
    if generation >= GENERATION_MAX:
        raise WireError("group_parents")
    rows = _MEMBER.iter_unpack(data[_REKEY.size : end])
    members = tuple(
        GroupMember(fp, b"" if key == _NO_KEY else key, bool(admins >> place & 1))
        for place, (fp, key) in enumerate(rows)
    )
    if len({member.fp for member in members}) != count:
        raise WireError("group_members")
    try:
        name = data[end:].decode()
    except UnicodeDecodeError:
        raise WireError("group_name") from None
    return Rekey(gid, parents, root, generation, members, direct, name)


def _decode_keys(data: bytes) -> Keys:
    count = data[1] if len(data) > 1 else 0
    if not 1 <= count <= GROUP_MEMBERS_MAX or len(data) != _KEYS.size + count * _FILL.size:
        raise WireError("group_keys")
    found = tuple(_FILL.iter_unpack(data[_KEYS.size :]))
    places = [place for place, _ in found]
    if places != sorted(set(places)) or any(key == _NO_KEY for _, key in found):
        raise WireError("group_keys")
    return Keys(found)


# --- keys ------------------------------------------------------------------------------------


def signing_seed(seed: bytes, gid: bytes) -> bytes:
    """The seed of our signing key in a group: nothing outside it is ever signed with that."""
    return H(b"mc1 g-sign", gid, 32, key=seed)


def derive(gid: bytes, root: bytes, fps: Sequence[bytes]) -> EpochKeys:
    """What follows from the root of an epoch whose members have these 16-byte fingerprints."""
    return EpochKeys(
        H(b"mc1 g-eid", gid, EPOCH_BYTES, key=root),
        H(b"mc1 g-head", b"", KEY_BYTES, key=root),
        tuple(H(b"mc1 g-chain", fp, KEY_BYTES, key=root) for fp in fps),
    )


def step(chain: bytes) -> tuple[bytes, bytes]:
    """``(next chain key, message key)``, as in the Double Ratchet."""
    both = H(b"mc1 dr-chain", b"", 64, key=chain)
    return both[:32], both[32:]


class Reached(NamedTuple):
    """A chain after one of its messages."""

    key: bytes
    """Of that message."""
    chain: bytes
    skipped: tuple[tuple[int, bytes], ...]
    """Numbers and keys of the messages that were passed over."""


def reach(chain: bytes, at: int, n: int) -> Reached:
    """Go from the chain key of message ``at`` to message ``n``; nothing is changed.

    Raises:
        AuthError: ``n`` lies behind.
        QuotaError: Too many messages lie between; they have to come first.
    """
    if n < at:
        raise AuthError("group_replay")
    if n - at > GROUP_JUMP_MAX:
        raise QuotaError("group_jump")
    skipped: list[tuple[int, bytes]] = []
    for number in range(at, n):
        chain, key = step(chain)
        skipped.append((number, key))
    chain, key = step(chain)
    return Reached(key, chain, tuple(skipped))
