"""Made sealing.json once, from fixed randomness. Run it again only for a new wire version.

python tests/vectors/make_sealing.py > tests/vectors/sealing.json
"""

import hashlib
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "core"))
from sealing import first_dm

from meshchat.core import envelope, identity, sealed
from meshchat.core.body import Body, BodyType, encode_body, message_id
from meshchat.core.identity import Identity, make_card

EXP_H = 500_000
SENT = 1_800_000_000


class Recorder:
    """Deterministic randomness that remembers what it gave."""

    def __init__(self, label: str) -> None:
        self._label = label
        self.draws: list[str] = []

    def bytes(self, n: int) -> bytes:
        name = f"{self._label} {len(self.draws)}".encode()
        value = hashlib.shake_256(name).digest(n)
        self.draws.append(value.hex())
        return value


def fixed(label: str, n: int = 32) -> bytes:
    return hashlib.shake_256(label.encode()).digest(n)


def person(name: str) -> dict[str, object]:
    me = Identity.from_seed(fixed(f"seed {name}"))
    prekey_secret = fixed(f"prekey {name}")
    prekey = envelope.crypto.x25519_public(prekey_secret)
    card = make_card(me, fixed(f"ak {name}"), prekey, EXP_H).encode()
    return {
        "seed": me.seed.hex(),
        "words": " ".join(identity.seed_to_words(me.seed)),
        "sign_public": me.sign_public.hex(),
        "dh_secret": me.dh_secret.hex(),
        "dh_public": me.dh_public.hex(),
        "fp": me.fp.hex(),
        "tag": identity.key_tag(me.fp),
        "announce_key": fixed(f"ak {name}").hex(),
        "prekey_secret": prekey_secret.hex(),
        "prekey": prekey.hex(),
        "card_exp_h": EXP_H,
        "card": card.hex(),
        "name": name,
        "card_text": identity.card_text(card, name),
    }


def main() -> None:
    people = {name: person(name) for name in ("Айгүл", "Boris")}
    a, b = (Identity.from_seed(bytes.fromhex(str(p["seed"]))) for p in people.values())
    a_card, b_card = (identity.Card.decode(bytes.fromhex(str(p["card"]))) for p in people.values())
    room_key = identity.public_room_key("#Алматы")
    private = identity.private_room_key("#Алматы", "дождь 1986")
    rid = identity.room_id(room_key)
    day = SENT // 86_400
    author_seed = identity.room_author_seed(a.seed, rid)
    author = envelope.crypto.sign_public(author_seed)

    bodies = {
        "text": Body(BodyType.TEXT, fixed("n1", 8), SENT, "Сәлем, Boris!"),
        "reply": Body(
            BodyType.TEXT, fixed("n2", 8), SENT, "да", name="Айгүл", reply_to=fixed("m", 8)
        ),
        "introduction": Body(
            BodyType.INTRODUCTION, fixed("n3", 8), SENT, name="Boris", card=b_card.encode()
        ),
        "profile": Body(BodyType.PROFILE, fixed("n4", 8), SENT, name="Айгүл"),
        "text with a timer": Body(BodyType.TEXT, fixed("n6", 8), SENT, "оқы", timer_s=86_400),
        "reaction": Body(
            BodyType.REACTION, fixed("n7", 8), SENT, "\U0001f44d", reply_to=fixed("m", 8)
        ),
        "reaction taken back": Body(
            BodyType.REACTION, fixed("n8", 8), SENT, reply_to=fixed("m", 8)
        ),
        "edit": Body(BodyType.EDIT, fixed("n9", 8), SENT, "иә", reply_to=fixed("m", 8)),
        "retraction": Body(BodyType.RETRACT, fixed("n10", 8), SENT, reply_to=fixed("m", 8)),
        "read": Body(BodyType.READ, fixed("n11", 8), SENT, read=(fixed("m", 8), fixed("k", 8))),
        "timer": Body(BodyType.TIMER, fixed("n12", 8), SENT, timer_s=604_800),
        "timer off": Body(BodyType.TIMER, fixed("n13", 8), SENT, timer_s=0),
    }
    encoded = {name: encode_body(body) for name, body in bodies.items()}
    long_body = encode_body(Body(BodyType.TEXT, fixed("n5", 8), SENT, "ә" * 3_500))

    def dm(body: bytes, recorder: Recorder, e: bytes) -> bytes:
        return first_dm(a, a_card, b_card, e, body, recorder)

    def post(body: bytes, recorder: Recorder, e: bytes) -> bytes:
        return sealed.room_post(author_seed, rid, e, 7, SENT, body)

    def news(body: bytes, recorder: Recorder, e: bytes) -> bytes:
        return sealed.announce(a, a_card, e, 3, body)

    envelopes = []
    for label, kind, body, build, want_proof in (
        ("first dm", 1, encoded["text"], dm, True),
        ("first dm, no proof", 1, encoded["reply"], dm, False),
        ("first dm, introduction", 1, encoded["introduction"], dm, True),
        ("first dm, longest text", 1, long_body, dm, True),
        ("room post", 4, encoded["text"], post, False),
        ("announce", 5, encoded["profile"], news, False),
    ):
        recorder = Recorder(label)
        token = fixed(f"token {label}", 16)
        if kind == 1:
            to = {"prekey": b_card.prekey}
        elif kind == 4:
            to = {"secret": identity.room_secret(room_key, day)}
        else:
            to = {"secret": identity.announce_secret(a_card.announce_key)}
        data = envelope.seal(
            lambda e, b=body, f=build, r=recorder: f(b, r, e),
            body,
            EXP_H - 20,
            token,
            want_proof=want_proof,
            entropy=recorder,
            long_term_secret=a.seed,
            counter=len(envelopes),
            **to,
        )
        envelopes.append(
            {
                "label": label,
                "kind": kind,
                "body": body.hex(),
                "exp_h": EXP_H - 20,
                "token": token.hex(),
                "want_proof": want_proof,
                "draws": recorder.draws,
                "counter": len(envelopes),
                **{key: value.hex() for key, value in to.items()},
                "id": envelope.envelope_id(data).hex(),
                "stamp_bits": envelope.stamp_bits(data, envelope.envelope_id(data)),
                # the longest is given by its hash, to keep this file readable
                **(
                    {"data": data.hex()}
                    if len(data) <= 2_048
                    else {"blake2b_256": hashlib.blake2b(data, digest_size=32).hexdigest()}
                ),
            }
        )

    vectors = {
        "version": 1,
        "people": list(people.values()),
        "safety_words": " ".join(identity.safety_words(a.fp, b.fp)),
        "room": {
            "typed": "#Алматы",
            "name": identity.room_name("#Алматы"),
            "public_key": room_key.hex(),
            "passphrase": "дождь 1986",
            "private_key": private.hex(),
            "rid": rid.hex(),
            "day": day,
            "secret": identity.room_secret(room_key, day).hex(),
            "author_seed": author_seed.hex(),
            "author": author.hex(),
            "seq": 7,
            "ts": SENT,
        },
        "boot": 3,
        "bodies": {
            name: {
                "type": int(body.type),
                "number": body.number.hex(),
                "sent": body.sent,
                "text": body.text,
                "name": body.name,
                "reply_to": body.reply_to.hex(),
                "card": body.card.hex(),
                "read": [mid.hex() for mid in body.read],
                "timer_s": body.timer_s,
                "data": encoded[name].hex(),
                "message_id_by_first_person": message_id(a.fp, body.number).hex(),
            }
            for name, body in bodies.items()
        },
        "envelopes": envelopes,
    }
    print(json.dumps(vectors, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
