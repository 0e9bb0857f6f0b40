"""Made people.json once. Run it again only for a new wire version.

python tests/vectors/make_people.py > tests/vectors/people.json
"""

import hashlib
import json

from meshchat.core.body import Body, BodyType, encode_body
from meshchat.core.identity import Identity
from meshchat.core.livecheck import commitment, signs_of
from meshchat.core.model import Mark
from meshchat.core.moderation import write_hide
from meshchat.core.revocations import make_notice
from meshchat.core.sealed import InnerKind

AT = 1_800_000_000


def fixed(label: str, n: int = 32) -> bytes:
    return hashlib.shake_256(label.encode()).digest(n)


def main() -> None:
    owner = Identity.from_seed(fixed("owner"))
    notice = make_notice(owner, AT)
    body = Body(BodyType.REVOCATION, fixed("number", 8), AT, name="Айгүл", raw=notice)
    starter, answerer, h = fixed("starter"), fixed("answerer"), fixed("h", 64)
    number, answer = fixed("its number"), fixed("its answer")
    target = fixed("author")
    hide = Body(BodyType.HIDE, fixed("number", 8), AT, raw=write_hide(target, Mark.HIDDEN))
    found = {
        "revocation": {
            "seed": owner.seed.hex(),
            "at": AT,
            "notice": notice.hex(),
            "inner": (bytes([InnerKind.REVOKE]) + notice).hex(),
            "number": body.number.hex(),
            "name": body.name,
            "body": encode_body(body).hex(),
        },
        "check": {
            "h": h.hex(),
            "starter": starter.hex(),
            "answerer": answerer.hex(),
            "number": number.hex(),
            "answer": answer.hex(),
            "commitment": commitment(h, starter, answerer, number).hex(),
            "signs": signs_of(h, starter, answerer, number, answer),
        },
        "hide": {
            "target": target.hex(),
            "number": hide.number.hex(),
            "body": encode_body(hide).hex(),
        },
    }
    print(json.dumps(found, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
