"""Made sessions.json once, without any code of meshchat: hashlib, and X25519 and ChaCha20-Poly1305
of the package ``cryptography``. Run it again only for a new wire version.

python tests/vectors/make_sessions.py > tests/vectors/sessions.json
"""

import hashlib
import json
import struct

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305


def fixed(label: str, n: int = 32) -> bytes:
    return hashlib.shake_256(label.encode()).digest(n)


def h(label: bytes, data: bytes, n: int, key: bytes = b"") -> bytes:
    return hashlib.blake2b(data, digest_size=n, key=key, person=label).digest()


def public(secret: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


def dh(secret: bytes, other: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(secret).exchange(
        X25519PublicKey.from_public_bytes(other)
    )


def main() -> None:
    id_a, id_b = fixed("anna dh"), fixed("boris dh")
    fp_a, fp_b = fixed("anna fp"), fixed("boris fp")
    spk, ek = fixed("prekey"), fixed("ek")
    shared = dh(id_a, public(spk)) + dh(ek, public(id_b)) + dh(ek, public(spk))
    k = h(b"mc1 x3dh", shared + fp_a + fp_b + public(spk) + public(ek), 64)
    root, sid = k[:32], h(b"mc1 sid", k[32:], 8)
    vector: dict[str, object] = {
        "a": {"dh_secret": id_a.hex(), "fp": fp_a.hex()},
        "b": {"dh_secret": id_b.hex(), "fp": fp_b.hex(), "prekey_secret": spk.hex()},
        "ek_secret": ek.hex(),
        "root": root.hex(),
        "sid": sid.hex(),
    }
    # Who writes, with which new ratchet key (None: goes on in the chain), in four turns.
    turns = [("a", "r a 0", 2), ("b", "r b 0", 3), ("a", "r a 1", 1), ("b", "r b 1", 1)]
    latest = {"a": b"", "b": public(spk)}
    secret_of = {public(spk): spk}
    sent = {"a": 0, "b": 0}
    messages = []
    for writer, label, count in turns:
        reader = "b" if writer == "a" else "a"
        own = fixed(label)
        out = h(b"mc1 dr-root", dh(own, latest[reader]), 64, root)
        root, chain = out[:32], out[32:]
        secret_of[public(own)] = own
        previous, latest[writer] = sent[writer], public(own)
        fps = fp_a + fp_b if writer == "a" else fp_b + fp_a
        for number in range(count):
            out = h(b"mc1 dr-chain", b"", 64, chain)
            chain, message_key = out[:32], out[32:]
            e = fixed(f"e {label} {number}")
            key = h(b"mc1 mk", e, 32, message_key)
            header = struct.pack("<8s32sHH", sid, public(own), previous, number)
            text = f"{writer} {label} {number}".encode()
            sealed = ChaCha20Poly1305(key).encrypt(bytes(12), text, fps + header + e)
            messages.append(
                {
                    "writer": writer,
                    "ratchet_secret": own.hex(),
                    "e": e.hex(),
                    "text": text.hex(),
                    "message": (header + sealed).hex(),
                }
            )
        sent[writer] = count
    vector["messages"] = messages
    print(json.dumps(vector, indent=1))


if __name__ == "__main__":
    main()
