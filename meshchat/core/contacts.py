"""People: our own identity and prekeys, and everybody we know by key.

Petnames are ours and unique; a key never changes under a name without our user saying so.
"""

from collections.abc import Callable

from msgspec.structs import replace

from meshchat.core.crypto import x25519_keypair
from meshchat.core.custody import hours
from meshchat.core.events import AddContact, ContactChanged, Notice, Tell
from meshchat.core.hello import pair_key
from meshchat.core.identity import (
    NAME_MAX_BYTES,
    Card,
    Identity,
    announce_secret,
    card_text,
    key_tag,
    make_card,
    name_skeleton,
    parse_card_text,
)
from meshchat.core.limits import (
    INTRODUCED_MAX,
    PREKEY_DELETE_S,
    PREKEY_EVERY_S,
    PREKEY_LIFE_H,
    REQUESTS_MAX,
    SILENT_DAYS_MAX,
)
from meshchat.core.model import Contact, Now, Prekey, Trust
from meshchat.core.ports import Entropy, Store
from meshchat.core.sealed import read_card
from meshchat.errors import AuthError, QuotaError, TrustError, UsageError
from meshchat.text import NAME_MAX_CHARS, Clean

RESTORED_TOLD_GAP_S = 3_600.0  # ``boot`` counts hours: nobody is restored more often in earnest
HEARD_STEP_S = 1.0  # a row written for every message of a burst would say nothing new


def check_name(text: str, what: str) -> Clean:
    """A name as it will be sent: one line of 1 to 48 bytes.

    Raises:
        UsageError: Nothing of it can be shown, or it is too long; begins with ``what``.
    """
    name = Clean.line(text, NAME_MAX_CHARS + 1)
    if not name:
        raise UsageError(
            "bad_name", f"{what} has nothing that can be shown; give at least one letter."
        )
    if len(name.encode()) > NAME_MAX_BYTES:
        raise UsageError(
            "name_too_long",
            f"{what} is over {NAME_MAX_BYTES} bytes (a Cyrillic letter counts as two); "
            f"give a shorter one.",
        )
    return name


class People:
    """Our identity and our contacts, cached; every change goes to the store at once."""

    def __init__(
        self, store: Store, entropy: Entropy, tell: Callable[[Tell], None], now: Now
    ) -> None:
        seed, ak = store.get("seed"), store.get("ak")
        if seed is None or ak is None:
            raise UsageError("no_identity", "This profile has no identity yet: run meshchat init.")
        self._store = store
        self._entropy = entropy
        self._tell = tell
        self.identity = Identity.from_seed(seed)
        self.seed = seed
        self._ak = ak
        self.name = Clean.line((store.get("name") or b"").decode())
        self.boot = int.from_bytes(store.get("boot") or bytes(4), "little")
        self.prekeys: list[Prekey] = store.prekeys()
        self._contacts = {contact.fp: contact for contact in store.contacts()}
        self._pairs: dict[bytes, bytes] = {}
        self._greetings: list[tuple[bytes, bytes]] = []  # ``pairs()`` until somebody changes
        self._cards: dict[bytes, Card] = {}
        self._silent: dict[bytes, None] = {}  # of whom that was told
        self._restored_at: dict[bytes, float] = {}  # monotonic
        self.card = b""
        if self.prekeys:
            self._make_card()
        self.rotate(now)

    @staticmethod
    def create(
        store: Store, entropy: Entropy, now: Now, name: str, seed: bytes | None = None
    ) -> None:
        """Write a new identity (or one restored from ``seed``) into an empty store.

        Raises:
            UsageError: The name cannot be used.
        """
        clean = check_name(name, "Your name")
        store.put("seed", seed or entropy.bytes(32))
        store.put("ak", entropy.bytes(32))
        store.put("name", clean.encode())
        boot = hours(now.wall) if seed else 0  # rises with every restore
        store.put("boot", boot.to_bytes(4, "little"))
        if not seed:  # every card given out today is the newest: nobody needs an announce yet
            store.put("announced", max(0, int(now.wall)).to_bytes(8, "little"))

    # --- ourselves -------------------------------------------------------------------------

    def rotate(self, now: Now) -> bool:
        """Make the daily prekey if it is due, destroy those past their time. True if made."""
        if self._store.drop_prekeys(now.wall):
            self.prekeys = self._store.prekeys()
        newest = max((prekey.delete_at for prekey in self.prekeys), default=0.0)
        if newest > now.wall + PREKEY_DELETE_S - PREKEY_EVERY_S:
            return False
        self._new_prekey(now)
        return True

    def _new_prekey(self, now: Now) -> None:
        secret, public = x25519_keypair(self._entropy.bytes(32))
        exp_h = hours(now.wall) + PREKEY_LIFE_H
        while any(prekey.exp_h == exp_h for prekey in self.prekeys):
            exp_h += 1  # so that late mail with the card before never takes this one's place
        self._store.add_prekey(Prekey(public, secret, exp_h, now.wall + PREKEY_DELETE_S))
        self.prekeys = self._store.prekeys()
        self._make_card()

    def _make_card(self) -> None:
        newest = max(self.prekeys, key=lambda prekey: prekey.delete_at)
        self.card = make_card(self.identity, self._ak, newest.public, newest.exp_h).encode()

    def card_text(self) -> str:
        return card_text(self.card, self.name)

    @property
    def announce_key(self) -> bytes:
        """The shared secret our announces are sealed to."""
        return announce_secret(self._ak)

    def rename_self(self, name: str) -> None:
        self.name = check_name(name, "Your name")
        self._store.put("name", self.name.encode())

    # --- looking up ------------------------------------------------------------------------

    def get(self, fp: bytes) -> Contact | None:
        return self._contacts.get(fp)

    def begins(self, start: bytes) -> Contact | None:
        """The contact whose fingerprint begins with these 16 bytes or more."""
        found = (each for fp, each in self._contacts.items() if fp.startswith(start))
        return next(found, None)

    def need(self, fp: bytes) -> Contact:
        contact = self._contacts.get(fp)
        if contact is None:
            raise UsageError("unknown_contact", "There is no such contact.")
        return contact

    def writable(self, fp: bytes) -> Contact:
        """The contact, if sending to it makes sense now.

        Raises:
            TrustError: A person has to decide something first.
        """
        contact = self.need(fp)
        if contact.trust is Trust.CHANGED:
            raise TrustError(
                "key_changed",
                f"The key of {contact.petname} was replaced: write to the new contact instead.",
            )
        self._refuse_revoked(contact)
        if contact.blocked:
            raise TrustError("blocked", f"{contact.petname} is blocked: unblock before writing.")
        if contact.request:
            raise TrustError(
                "not_accepted",
                f"{contact.petname} is a stranger: accept the request before answering.",
            )
        return contact

    @staticmethod
    def _refuse_revoked(contact: Contact) -> None:
        if contact.trust is Trust.REVOKED:
            raise TrustError(
                "revoked",
                f"The key of {contact.petname} was revoked for good: ask them for a new card, "
                f"in person.",
            )

    def friends(self) -> list[Contact]:
        """Contacts we deal with: accepted, not blocked, key not replaced."""
        return [
            contact
            for contact in self._contacts.values()
            if not (contact.request or contact.blocked or contact.frozen)
        ]

    def is_friend(self, fp: bytes) -> bool:
        contact = self._contacts.get(fp)
        return contact is not None and not (contact.request or contact.blocked or contact.frozen)

    def card_of(self, fp: bytes) -> Card:
        card = self._cards.get(fp)
        if card is None:
            card = self._cards[fp] = read_card(self.need(fp).card)
        return card

    def pairs(self) -> list[tuple[bytes, bytes]]:
        """``(fingerprint, pair key)`` of every friend, last heard first: for HELLO tags."""
        if self._greetings:
            return self._greetings
        friends = sorted(self.friends(), key=lambda contact: -contact.heard_at)
        found: list[tuple[bytes, bytes]] = []
        for contact in friends:
            key = self._pairs.get(contact.fp)
            if key is None:
                key = pair_key(
                    self.identity.dh_secret,
                    self.card_of(contact.fp).dh_public,
                    self.identity.fp,
                    contact.fp,
                )
                self._pairs[contact.fp] = key
            found.append((contact.fp, key))
        self._greetings = found
        return found

    def announce_secrets(self) -> list[tuple[bytes, bytes]]:
        """``(secret, fingerprint)`` under which each friend's announces open."""
        return [
            (announce_secret(self.card_of(contact.fp).announce_key), contact.fp)
            for contact in self.friends()
        ]

    # --- changing ----------------------------------------------------------------------------

    def _save(self, contact: Contact) -> Contact:
        self._contacts[contact.fp] = contact
        self._greetings = []
        self._cards.pop(contact.fp, None)
        self._store.save_contact(contact)
        self._tell(ContactChanged(contact))
        return contact

    def _namesake(self, name: str, fp: bytes) -> Contact | None:
        skeleton = name_skeleton(name)
        for contact in self._contacts.values():
            if contact.fp != fp and name_skeleton(contact.petname) == skeleton:
                return contact
        return None

    def _free_name(self, wanted: str, fp: bytes) -> Clean:
        """``wanted``, or with the key's tag behind it where somebody has that name already."""
        if wanted and not self._namesake(wanted, fp):
            return Clean.line(wanted)
        base = wanted[: NAME_MAX_CHARS - 10] or "stranger"
        name = f"{base}~{key_tag(fp)}"
        turn = 2
        while self._namesake(name, fp):
            name = f"{base}~{key_tag(fp)}{turn}"
            turn += 1
        return Clean.line(name)

    def add(self, command: AddContact, now: Now) -> Contact:
        """Add by card, or bring a known contact's card and name up to date."""
        card, claimed = parse_card_text(command.card)
        if card.fp == self.identity.fp:
            raise UsageError("own_card", "This is your own card: send it to a friend instead.")
        known = self._contacts.get(card.fp)
        wanted = check_name(command.petname, "A name") if command.petname else claimed
        if known is None and not wanted:
            raise UsageError("no_name", "This card has no name in it: give one with --as NAME.")
        if known is not None:
            self._refuse_revoked(known)
            if known.trust is Trust.CHANGED and not command.replaces:
                raise TrustError(
                    "key_changed",
                    f"You replaced this key of {known.petname} by another. If that was a mistake, "
                    f"name the newer contact: --replaces NAME.",
                )
        namesake = self._namesake(wanted, card.fp) if wanted else None
        old: Contact | None = None
        if command.replaces:
            old = self.need(command.replaces)
            if old.fp == card.fp:
                raise UsageError("same_key", f"{old.petname} has this key already.")
        if namesake is not None and namesake is not old:
            raise TrustError(
                "name_taken",
                f"You already know {namesake.petname} under another key. Choose another name "
                f"with --as NAME, or, if {namesake.petname} told you of a new key in person, "
                f"use --replaces.",
            )
        if known is not None:
            thawed = known.trust is Trust.CHANGED  # our user takes a replacement back
            new_name = command.petname or known.request or thawed
            name = wanted if new_name else known.petname
            kept = card if card.supersedes(self.card_of(card.fp)) else self.card_of(card.fp)
            contact = replace(
                known,
                card=kept.encode(),
                petname=name or known.petname,
                claimed=claimed or known.claimed,
                request=False,
                trust=Trust.UNVERIFIED if thawed else known.trust,
            )
        else:
            contact = Contact(
                fp=card.fp, card=card.encode(), petname=wanted, claimed=claimed, added_at=now.wall
            )
        if old is not None:
            self._freeze(old)
        return self._save(contact)

    def _freeze(self, old: Contact) -> None:
        name = f"{old.petname[: NAME_MAX_CHARS - 16]} (old key)"
        trust = old.trust if old.trust is Trust.REVOKED else Trust.CHANGED
        self._save(replace(old, trust=trust, petname=self._free_name(name, old.fp)))

    def revoke(self, fp: bytes) -> Contact:
        """Freeze for good: the owner's revocation was released."""
        return self._save(replace(self.need(fp), trust=Trust.REVOKED))

    def watch(self, fp: bytes, days: int) -> Contact:
        """Tell when nothing was heard of them for so many days; 0: do not."""
        if not 0 <= days <= SILENT_DAYS_MAX:
            raise UsageError("bad_days", f"Give a number of days from 1 to {SILENT_DAYS_MAX}.")
        self._silent.pop(fp, None)
        return self._save(replace(self.need(fp), silent_days=days))

    def notice_silence(self, now: Now) -> None:
        """Tell of each friend who has just been silent for too long, once."""
        for contact in self._contacts.values():
            if not contact.silent_days or not self.is_friend(contact.fp):
                continue
            silent = contact.is_silent(now.wall)
            if silent and contact.fp not in self._silent:
                self._silent[contact.fp] = None
                self._tell(ContactChanged(contact))
                self._tell(Notice("contact_silent", contact.petname))
            elif not silent:
                self._silent.pop(contact.fp, None)

    def meet(self, card: Card, claimed: Clean, now: Now) -> Contact:
        """The author of a first message that opened: a contact, or a new request.

        Raises:
            AuthError: The card shares a signing key with a contact but is another identity.
            QuotaError: ``requests_full``, too many strangers wait for an answer already.
        """
        known = self._contacts.get(card.fp)
        if known is None:
            for contact in self._contacts.values():
                if self.card_of(contact.fp).sign_public == card.sign_public:
                    raise AuthError("split_identity")
            waiting = (each.request and not each.blocked for each in self._contacts.values())
            if sum(waiting) >= REQUESTS_MAX:
                raise QuotaError("requests_full")
            namesake = self._namesake(claimed, card.fp) if claimed else None
            if namesake is not None and not namesake.request:  # a new key of theirs, or a trick
                self._tell(Notice("same_name", namesake.petname))
            return self._save(
                Contact(
                    fp=card.fp,
                    card=card.encode(),
                    petname=self._free_name(claimed, card.fp),
                    claimed=claimed,
                    request=True,
                    added_at=now.wall,
                    heard_at=now.wall,
                )
            )
        return self.heard(known, card, claimed, now)

    def heard(self, contact: Contact, card: Card | None, claimed: Clean, now: Now) -> Contact:
        """Something proven to come from a contact: newer card, name they use, time."""
        newer = card if card is not None and card.supersedes(self.card_of(contact.fp)) else None
        changed = replace(
            contact,
            card=newer.encode() if newer else contact.card,
            claimed=claimed or contact.claimed,
            heard_at=now.wall,
        )
        if newer is None and changed.claimed == contact.claimed and not contact.request:
            age = now.wall - contact.heard_at
            if 0 <= age < HEARD_STEP_S:
                return contact
        return self._save(changed)

    def restored(self, contact: Contact, boot: int, now: Now) -> Contact:
        """They came back from a backup; ``boot`` is greater than the one known."""
        told, self._restored_at[contact.fp] = self._restored_at.get(contact.fp), now.mono
        again = told is not None and now.mono - told < RESTORED_TOLD_GAP_S
        # Not of somebody who is new to us.
        if not again and self._store.message_sizes(b"c" + contact.fp):
            self._tell(Notice("restored", contact.petname))
        return self._save(replace(contact, boot=boot))

    def seen_elsewhere(self, card: Card, now: Now) -> None:
        """A card that we signed was announced. If it counts still, and is none of ours: a copy."""
        ours = any(card.prekey == prekey.public for prekey in self.prekeys)
        if not ours and card.exp_h > hours(now.wall):  # an old one may be sealed again by a friend
            self._tell(Notice("used_elsewhere"))

    def introduced(self, card: Card, claimed: Clean, by: Contact, now: Now) -> Contact | None:
        """A friend gave us a third person's card. Never lowers or raises what is known already.

        Raises:
            QuotaError: ``introductions_full``, this friend brings crowds.
        """
        known = self._contacts.get(card.fp)
        if card.fp == self.identity.fp:
            return None
        if known is not None:
            if known.blocked or not known.request:
                return None
            if self.card_of(known.fp).supersedes(card):
                card = self.card_of(known.fp)
        brought = [other for other in self._contacts.values() if other.introduced_by == by.fp]
        if len(brought) >= INTRODUCED_MAX:
            raise QuotaError("introductions_full")
        petname = self._free_name(claimed, card.fp)
        contact = known or Contact(card.fp, card.encode(), petname)
        return self._save(
            replace(
                contact,
                card=card.encode(),
                petname=petname,
                claimed=claimed,
                trust=Trust.INTRODUCED,
                request=False,
                introduced_by=by.fp,
                added_at=now.wall,
            )
        )

    def verify(self, fp: bytes, verified: bool) -> Contact:
        contact = self.need(fp)
        self._refuse_revoked(contact)
        if contact.trust is Trust.CHANGED:
            raise TrustError(
                "key_changed",
                f"{contact.petname} has been replaced by another key: check that one.",
            )
        if contact.request:
            raise TrustError("not_accepted", f"Accept {contact.petname} before verifying.")
        unverified = Trust.INTRODUCED if contact.introduced_by else Trust.UNVERIFIED
        return self._save(replace(contact, trust=Trust.VERIFIED if verified else unverified))

    def rename(self, fp: bytes, petname: str) -> Contact:
        contact = self.need(fp)
        name = check_name(petname, "A name")
        namesake = self._namesake(name, fp)
        if namesake is not None:
            raise UsageError(
                "name_taken", f"{namesake.petname} has that name, or one that looks the same."
            )
        return self._save(replace(contact, petname=name))

    def accept(self, fp: bytes, petname: str) -> Contact:
        contact = self.need(fp)
        if petname:
            contact = self.rename(fp, petname)
        return self._save(replace(contact, request=False))

    def block(self, fp: bytes, blocked: bool, now: Now) -> Contact:
        """Block or unblock. Blocking renews our announce key, so they lose sight of us."""
        contact = self._save(replace(self.need(fp), blocked=blocked))
        if blocked:
            self._ak = self._entropy.bytes(32)
            self._store.put("ak", self._ak)
            self._new_prekey(now)
        return contact
