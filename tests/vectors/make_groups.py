"""Made groups.json once, in straight code with nothing of meshchat, from the wire reference.

python tests/vectors/make_groups.py > tests/vectors/groups.json
"""

import hashlib
import json
import struct

from nacl import bindings as nacl

GID = hashlib.shake_256(b"group id").digest(16)
EXP_H = 500_000


def fixed(label: str, n: int = 32) -> bytes:
    return hashlib.shake_256(label.encode()).digest(n)


def blake(label: str, data: bytes, n: int, key: bytes = b"") -> bytes:
    return hashlib.blake2b(data, digest_size=n, key=key, person=label.encode()).digest()


def aead(key: bytes, plaintext: bytes, ad: bytes) -> bytes:
    return nacl.crypto_aead_chacha20poly1305_ietf_encrypt(plaintext, ad, bytes(12), key)


def signer(name: str) -> tuple[bytes, bytes, bytes]:
    """Seed of the group key, its public half, libsodium's secret."""
    seed = blake("mc1 g-sign", GID, 32, fixed(f"seed {name}"))
    return seed, *nacl.crypto_sign_seed_keypair(seed)


def rekey(
    parents: list[bytes],
    root: bytes,
    generation: int,
    members: list[tuple[bytes, bytes]],
    admins: int,
    direct: int,
    name: bytes,
) -> bytes:
    one, other = [*parents, bytes(8), bytes(8)][:2]
    head = b"\x01" + GID + one + other + root
    head += struct.pack("<IBII", generation, len(members), admins, direct)
    return head + b"".join(fp + key for fp, key in members) + name


def message(
    root: bytes, fps: list[bytes], by: int, n: int, secret: bytes, label: str, body: bytes
) -> dict[str, object]:
    """A whole envelope of member ``by``."""
    eid, head = blake("mc1 g-eid", GID, 8, root), blake("mc1 g-head", b"", 32, root)
    chain = blake("mc1 g-chain", fps[by], 32, root)
    key = b""
    for _ in range(n + 1):
        both = blake("mc1 dr-chain", b"", 64, chain)
        chain, key = both[:32], both[32:]
    token, filler = fixed(f"token {label}", 16), fixed(f"done {label}", 16)
    draw, seed = fixed(f"draw {label}"), fixed("seed 0")
    e_secret = blake("mc1 e-secret", draw + seed + struct.pack("<Q", 7) + body, 32)
    e = nacl.crypto_scalarmult_base(e_secret)
    where = GID + eid + bytes([by]) + struct.pack("<I", n) + e
    ct = aead(blake("mc1 mk", e, 32, key), body, where)
    signed = b"mc1 group" + where + blake("mc1 g-ct", ct, 32)
    inner = b"\x03" + bytes([by]) + struct.pack("<I", n)
    inner += nacl.crypto_sign(signed, secret)[:64] + ct
    keys = blake("mc1 outer-sym", e, 48, head)
    plain = token + inner + b"\x80"
    size_class, size = next((i, s) for i, s in enumerate((512, 2_048)) if len(plain) <= s - 96)
    front = struct.pack("<BBHI", 1, size_class, 0, EXP_H)
    back = e + keys[:16] + filler
    data = front + bytes(8) + back + aead(keys[16:], plain.ljust(size - 96, b"\0"), front + back)
    return {
        "label": label,
        "by": by,
        "n": n,
        "body": body.hex(),
        "token": token.hex(),
        "draws": [draw.hex(), filler.hex()],
        "counter": 7,
        "message_key": key.hex(),
        "inner": inner.hex(),
        "data": data.hex(),
    }


def main() -> None:
    names = [str(number) for number in range(32)]
    fps = [fixed(f"fp {name}", 16) for name in names]
    keys = [signer(name) for name in names]
    whole = [(fp, key[1]) for fp, key in zip(fps, keys, strict=True)]
    root, next_root = fixed("root"), fixed("next root")
    eid = blake("mc1 g-eid", GID, 8, root)
    other = blake("mc1 g-eid", GID, 8, fixed("other root"))
    parents = sorted([eid, other])
    small = [whole[0], (fps[1], bytes(32)), whole[2]]
    controls = {
        "first": rekey([], root, 0, small, 0b001, 0b011, "Больница".encode()),
        "full": rekey(parents, next_root, 1, whole, 0b101, 2**32 - 1, b"x" * 48),
        "key": b"\x02" + GID + keys[1][1],
        "leave": b"\x03" + GID,
        "gone": b"\x04" + GID + struct.pack("<I", 7),
        "seized": b"\x05" + GID + fps[2],
        "keys": b"\x06\x01\x01" + keys[1][1],
    }
    text = "қайдасың?".encode()
    body = b"\x01" + fixed("number", 8) + struct.pack("<IH", 1_800_000_000, len(text)) + text
    longer = b"\x01" + fixed("n2", 8) + struct.pack("<IH", 1_800_000_001, 900) + b"a" * 900
    three = fps[:3]
    vectors = {
        "version": 1,
        "gid": GID.hex(),
        "exp_h": EXP_H,
        "seeds": [fixed(f"seed {name}").hex() for name in names[:3]],
        "signing_seeds": [key[0].hex() for key in keys[:3]],
        "fps": [fp.hex() for fp in fps],
        "keys": [key[1].hex() for key in keys],
        "root": root.hex(),
        "eid": eid.hex(),
        "head_key": blake("mc1 g-head", b"", 32, root).hex(),
        "chains": [blake("mc1 g-chain", fp, 32, root).hex() for fp in three],
        "parents": [parent.hex() for parent in parents],
        "next_root": next_root.hex(),
        "controls": {name: data.hex() for name, data in controls.items()},
        "messages": [
            message(root, three, 0, 0, keys[0][2], "first of the admin", body),
            message(root, three, 2, 5, keys[2][2], "sixth of another, long", longer),
        ],
    }
    print(json.dumps(vectors, indent=1))


if __name__ == "__main__":
    main()
