"""Telling our contacts who we are now: announces for all, silent messages for some."""

from collections.abc import Iterable

from meshchat.core.body import NUMBER_BYTES, Body, BodyType, encode_body
from meshchat.core.contacts import People
from meshchat.core.custody import hours
from meshchat.core.limits import ANNOUNCE_EVERY_S, ANNOUNCE_LIFE_H
from meshchat.core.model import Contact, Now
from meshchat.core.ports import Entropy, Store
from meshchat.core.sealed import announce, read_card
from meshchat.core.sealer import Sealer


class Announces:
    """Says it for one node."""

    def __init__(self, store: Store, entropy: Entropy, people: People, sealer: Sealer) -> None:
        self._store = store
        self._entropy = entropy
        self._people = people
        self._sealer = sealer

    def announce(self, now: Now) -> None:
        """Tell every contact our newest card, once a day and after each new prekey."""
        body = Body(BodyType.PROFILE, bytes(NUMBER_BYTES), int(now.wall), "", self._people.name)
        raw, people = encode_body(body), self._people
        card = read_card(people.card)
        data = self._sealer.shared(
            people.announce_key,
            lambda e: announce(people.identity, card, e, people.boot, raw),
            raw,
            hours(now.wall) + ANNOUNCE_LIFE_H,
        )
        self._sealer.keep(data, now, bounded=False)
        self._store.put("announced", int(now.wall).to_bytes(8, "little"))

    def is_due(self, now: Now) -> bool:
        last = int.from_bytes(self._store.get("announced") or b"", "little")
        return not last <= now.wall < last + ANNOUNCE_EVERY_S

    def share_card(self, now: Now, contacts: Iterable[Contact]) -> None:
        """Send our newest card by a silent DM: these cannot read our announces without it."""
        for contact in contacts:
            self.tell(contact.fp, now)

    def tell(self, fp: bytes, now: Now, reset: bytes = b"") -> None:
        """A message without text: our card, and the id of a session we cannot read (8 bytes)."""
        number, name = self._entropy.bytes(NUMBER_BYTES), self._people.name
        body = Body(BodyType.PROFILE, number, int(now.wall), "", name, reset=reset)
        exp_h = self._sealer.dm_end_h(fp, None, now)
        if exp_h is not None:
            self._sealer.keep(self._sealer.dm(fp, body, exp_h, now), now, [fp], bounded=False)
