"""Frozen control and group messages, made by straight code that shares nothing with ours."""

import json
from pathlib import Path

import pytest

from meshchat.core.crypto import sign_public
from meshchat.core.envelope import open_sealed, seal
from meshchat.core.epochs import (
    Gone,
    Key,
    Keys,
    Leave,
    Rekey,
    Seized,
    decode_control,
    derive,
    encode_control,
    reach,
    signing_seed,
)
from meshchat.core.model import GroupMember
from meshchat.core.sealed import (
    check_group_message,
    group_message,
    open_group_message,
    read_group_message,
)

VECTORS = json.loads(
    (Path(__file__).parents[1] / "vectors" / "groups.json").read_text(encoding="utf-8")
)


def raw(name: str) -> bytes:
    return bytes.fromhex(VECTORS[name])


def many(name: str) -> list[bytes]:
    return [bytes.fromhex(each) for each in VECTORS[name]]


GID, FPS, KEYS = raw("gid"), many("fps"), many("keys")


class Replay:
    """Entropy that gives recorded draws, and nothing but them."""

    def __init__(self, draws: list[str]) -> None:
        self.draws = [bytes.fromhex(draw) for draw in draws]

    def bytes(self, n: int) -> bytes:
        value = self.draws.pop(0)
        assert len(value) == n
        return value


def controls() -> dict[str, object]:
    small = (
        GroupMember(FPS[0], KEYS[0], True),
        GroupMember(FPS[1], b"", False),
        GroupMember(FPS[2], KEYS[2], False),
    )
    full = tuple(
        GroupMember(fp, key, place in (0, 2))
        for place, (fp, key) in enumerate(zip(FPS, KEYS, strict=True))
    )
    parents = tuple(many("parents"))
    return {
        "first": Rekey(GID, (), raw("root"), 0, small, 0b011, "Больница"),
        "full": Rekey(GID, parents, raw("next_root"), 1, full, 2**32 - 1, "x" * 48),
        "key": Key(GID, KEYS[1]),
        "leave": Leave(GID),
        "gone": Gone(GID, 7),
        "seized": Seized(GID, FPS[2]),
        "keys": Keys(((1, KEYS[1]),)),
    }


@pytest.mark.parametrize("name", sorted(VECTORS["controls"]))
def test_control_messages_match_vectors(name: str) -> None:
    """Frozen control messages read and written; a full group has 1,614 bytes and its name."""
    data = bytes.fromhex(VECTORS["controls"][name])
    control = controls()[name]
    assert encode_control(control) == data  # type: ignore[arg-type]
    assert decode_control(data) == control
    assert name != "full" or len(data) == 1_614 + 48


def test_keys_of_an_epoch_match_vectors() -> None:
    """Everything that follows from a root, and from the seed of an identity."""
    keys = derive(GID, raw("root"), FPS[:3])
    assert keys.eid == raw("eid")
    assert keys.head_key == raw("head_key")
    assert list(keys.chains) == many("chains")
    assert [signing_seed(seed, GID) for seed in many("seeds")] == many("signing_seeds")
    assert [sign_public(seed) for seed in many("signing_seeds")] == KEYS[:3]


@pytest.mark.parametrize("vector", VECTORS["messages"], ids=lambda vector: vector["label"])
def test_group_messages_match_vectors(vector: dict[str, str]) -> None:
    """The same envelope by our code; a member reads it by the chain it was told."""
    by, n, body = int(vector["by"]), int(vector["n"]), bytes.fromhex(vector["body"])
    keys, place = derive(GID, raw("root"), FPS[:3]), GID + raw("eid")
    reached = reach(keys.chains[by], 0, n)
    assert reached.key.hex() == vector["message_key"]
    assert [number for number, _ in reached.skipped] == list(range(n))
    seed, replay = many("signing_seeds")[by], Replay(vector["draws"])  # type: ignore[arg-type]
    made = seal(
        lambda e: group_message(seed, place, by, n, reached.key, e, body),
        body,
        VECTORS["exp_h"],
        bytes.fromhex(vector["token"]),
        want_proof=False,
        entropy=replay,
        long_term_secret=many("seeds")[0],
        counter=int(vector["counter"]),
        secret=keys.head_key,
    )
    assert made.hex() == vector["data"]
    assert not replay.draws
    opened = open_sealed(made, secrets=[bytes(32), keys.head_key], prekeys=())
    assert opened is not None and opened.via_secret == 1 and not opened.wants_proof
    assert opened.inner.hex() == vector["inner"]
    post = read_group_message(opened.inner)
    assert (post.by, post.n) == (by, n)
    check_group_message(post, KEYS[by], place, opened.header.e)
    assert open_group_message(post, reached.key, place, opened.header.e) == body
