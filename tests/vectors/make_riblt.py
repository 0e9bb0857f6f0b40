"""Made riblt.json once, from fixed ids. Run it again only for a new wire version.

python tests/vectors/make_riblt.py > tests/vectors/riblt.json
"""

import hashlib
import json

from meshchat.core import riblt
from meshchat.core.riblt import Decoder, Sketch, Verdict, read_symbols

# name, ids in all, only in the first set, only in the second, symbols
CASES = (
    ("equal", 5, 0, 0, 3),
    ("one more", 40, 0, 1, 8),
    ("both ways", 300, 7, 5, 40),
    ("nothing yet", 30, 0, 30, 90),
)


def main() -> None:
    sets = []
    for name, count, first, second, symbols in CASES:
        made = hashlib.shake_256(name.encode()).digest(16 * count)
        ids = [made[at : at + 16] for at in range(0, len(made), 16)]
        salt = hashlib.shake_256(b"salt of " + name.encode()).digest(8)
        key = hashlib.shake_256(b"key of " + name.encode()).digest(32)
        a, b = Sketch(salt, ids[: count - second]), Sketch(salt, ids[first:])
        decoder = Decoder(a.view())
        stream = b.view().symbols(0, symbols)
        if decoder.feed(read_symbols(stream)) is not Verdict.DECODED:
            raise SystemExit(f"{name}: more symbols are needed")
        common, marks = decoder.answer(key)
        sets.append(
            {
                "name": name,
                "ids": name,
                "count": count,
                "only_first": first,
                "only_second": second,
                "salt": salt.hex(),
                "session_key": key.hex(),
                "digests": [a.digest(key).hex(), b.digest(key).hex()],
                "symbols": stream.hex(),
                "marks": riblt.write_marks(marks).hex(),
                "common": common.hex(),
                "shorts": riblt.write_shorts(decoder.theirs).hex(),
            }
        )
    about = (
        "ids: 16 bytes each of SHAKE-256 of the name. The first set lacks the last only_second "
        "of them, the second the first only_first; the second streams, the first decodes."
    )
    print(json.dumps({"version": 1, "about": about, "sets": sets}, indent=1))


if __name__ == "__main__":
    main()
