"""Made files.json once, from fixed randomness. Run it again only for a new wire version.

python tests/vectors/make_files.py > tests/vectors/files.json
"""

import hashlib
import json

from make_sealing import EXP_H, SENT, Recorder, fixed

from meshchat.core import envelope, sealed
from meshchat.core.body import Body, BodyType, encode_body
from meshchat.core.model import Manifest
from meshchat.core.sealed import CHUNK_BYTES


def content(size: int) -> bytes:
    return hashlib.shake_256(b"a file").digest(size)


def main() -> None:
    key, seed = fixed("file key"), fixed("seed Айгүл")
    data = content(2 * CHUNK_BYTES + 300)  # three pieces, said to be four; the last is small
    tag = 0x53A
    checksum = sealed.file_hash(data)
    pieces = sealed.cut(data)
    part = envelope.part_of(len(pieces), tag)
    chunks: list[dict[str, object]] = []
    ids: list[bytes] = []
    for index in (*range(1, len(pieces)), 0):  # the first last: it names the others
        piece = pieces[index]
        recorder = Recorder(f"chunk {index}")
        token = fixed(f"chunk token {index}", 16)
        words = piece if index else sealed.with_table(checksum, ids, piece)
        inner = sealed.chunk(index, words)
        made = envelope.seal(
            lambda _, inner=inner: inner,
            inner,
            EXP_H - 20 + index,
            token,
            want_proof=True,
            entropy=recorder,
            long_term_secret=seed,
            counter=100 + index,
            secret=key,
            part=part,
        )
        ids.append(envelope.envelope_id(made))
        chunks.append(
            {
                "index": index,
                "piece_bytes": len(piece),
                "inner_start": inner[:80].hex(),
                "exp_h": EXP_H - 20 + index,
                "token": token.hex(),
                "draws": recorder.draws,
                "counter": 100 + index,
                "size": len(made),
                "id": envelope.envelope_id(made).hex(),
                # the longest is given by its hash, to keep this file readable
                **(
                    {"data": made.hex()}
                    if len(made) <= 2_048
                    else {"blake2b_256": hashlib.blake2b(made, digest_size=32).hexdigest()}
                ),
            }
        )
    manifest = Manifest(key, len(data), "отчёт.pdf", checksum, (ids[-1], *ids[:-1]))
    body = Body(BodyType.FILE, fixed("n6", 8), SENT, name="Айгүл", file=manifest)
    vectors = {
        "version": 1,
        "seed": seed.hex(),
        "content": "the first bytes of SHAKE-256 of 'a file'",
        "key": key.hex(),
        "size": len(data),
        "tag": tag,
        "hash": checksum.hex(),
        "name": manifest.name,
        "chunks": [chunks[-1], *chunks[:-1]],
        "body": {
            "number": body.number.hex(),
            "sent": SENT,
            "name": body.name,
            "data": encode_body(body).hex(),
        },
    }
    print(json.dumps(vectors, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
