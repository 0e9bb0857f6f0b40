"""Who people and rooms are: keys, cards, backup words, look-alike names, room keys.

Byte layouts are in docs/reference/wire.md, sections 4 and 5.2. Knows nothing
of envelopes, stores or links. What a peer sent raises ``ProtocolError``; what
our own user typed raises ``UsageError`` with a sentence that can be shown.
"""

import re
import struct
import unicodedata
from base64 import b32decode, b32encode
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Self

from msgspec import Struct

from meshchat.core import crypto
from meshchat.core.crypto import H
from meshchat.errors import ProtocolError, UsageError, WireError
from meshchat.text import Clean

if TYPE_CHECKING:
    from mnemonic import Mnemonic

SEED_BYTES = 32
CARD_BYTES = 197
NAME_MAX_BYTES = 48  # of UTF-8: a card stays one QR code, a name one line
CARD_TEXT_MAX_CHARS = 2_000  # the longest card is 409; the rest is room for line breaks
WORDS_MAX_CHARS = 1_000  # 24 words of at most 8 letters, with numbers and line breaks
PASSPHRASE_MAX_BYTES = 1_024  # far above what anybody types
ARGON2_PASSES = 3  # 0.2 to 0.5 s for a person, and for every guess
ARGON2_MEMORY_BYTES = 128 * 1024 * 1024  # fits the small boards we run on

_CARD = struct.Struct("<B32s32s32s32sI64s")
_CARD_VERSION = 1
_SIGNED_BYTES = 133
_CARD_PREFIX = "meshchat:"
_CHECK_BYTES = 4
_SALT_BYTES = crypto.ARGON2_SALT_BYTES
_BASE32 = re.compile(r"[A-Z2-7]+\Z")
_BACKUP_WORDS = 24
_DAMAGED = "сно\ufffd\ufffdа"  # word 1573 of the Russian list in mnemonic 0.21: one letter is lost
_PROBE = bytes(32)  # clamped to 2^254: sends every low-order point, and no other, to zero


def utf8(text: str) -> bytes:
    """UTF-8 of text our user typed. Raises ``UsageError`` if it holds broken characters."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise UsageError(
            "broken_text", "The text holds broken characters: type it again."
        ) from None


# --- identity and card -----------------------------------------------------------------------


class Identity(Struct, frozen=True):
    """Our own long-term keys, all derived from one seed."""

    seed: bytes
    """32 bytes; what a backup holds."""
    sign_seed: bytes
    sign_public: bytes
    """Ed25519 ``ik_s``."""
    dh_secret: bytes
    dh_public: bytes
    """X25519 ``ik_d``."""
    fp: bytes
    """Fingerprint, 32 bytes."""

    def __repr__(self) -> str:
        return f"Identity({self.fp.hex()})"  # logs and tracebacks show no secret

    @classmethod
    def from_seed(cls, seed: bytes) -> Self:
        """Derive everything. Raises ``ValueError`` if the seed has not 32 bytes."""
        if len(seed) != SEED_BYTES:
            raise ValueError("a seed has 32 bytes")
        sign_seed = H(b"mc1 id-sign", b"", 32, seed)
        dh_secret = H(b"mc1 id-dh", b"", 32, seed)
        sign_public = crypto.sign_public(sign_seed)
        dh_public = crypto.x25519_public(dh_secret)
        fp = fingerprint(sign_public, dh_public)
        return cls(seed, sign_seed, sign_public, dh_secret, dh_public, fp)


def fingerprint(sign_public: bytes, dh_public: bytes) -> bytes:
    """Identity fingerprint, 32 bytes, of the two public keys."""
    return H(b"mc1 id", sign_public + dh_public, 32)


class Card(Struct, frozen=True):
    """What one must know to write to somebody. Signed; ``decode`` is the only way in."""

    sign_public: bytes
    dh_public: bytes
    announce_key: bytes
    prekey: bytes
    exp_h: int
    """Last hour (since 1970) the prekey may be used."""
    signature: bytes

    @property
    def fp(self) -> bytes:
        return fingerprint(self.sign_public, self.dh_public)

    def encode(self) -> bytes:
        """197 bytes."""
        return _CARD.pack(
            _CARD_VERSION,
            self.sign_public,
            self.dh_public,
            self.announce_key,
            self.prekey,
            self.exp_h,
            self.signature,
        )

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read 197 bytes and check signature and keys.

        Raises:
            WireError: Length or version is wrong.
            AuthError: The signature does not fit, or a key is of low order.
        """
        if len(data) != CARD_BYTES:
            raise WireError("card_length")
        version, *fields = _CARD.unpack(data)
        if version != _CARD_VERSION:
            raise WireError("card_version")
        card = cls(*fields)
        crypto.verify(card.sign_public, b"mc1 card" + data[:_SIGNED_BYTES], card.signature)
        crypto.dh(_PROBE, card.dh_public)
        crypto.dh(_PROBE, card.prekey)
        return card

    def supersedes(self, other: "Card") -> bool:
        """Whether this may take the place of ``other``: same identity, not older, not equal."""
        return self.fp == other.fp and self != other and self.exp_h >= other.exp_h


def make_card(identity: Identity, ak: bytes, prekey_public: bytes, exp_h: int) -> Card:
    """Sign a card of ours: announce key ``ak``, prekey and its last hour."""
    unsigned = _CARD.pack(
        _CARD_VERSION,
        identity.sign_public,
        identity.dh_public,
        ak,
        prekey_public,
        exp_h,
        b"",
    )[:_SIGNED_BYTES]
    signature = crypto.sign(identity.sign_seed, b"mc1 card" + unsigned)
    return Card(identity.sign_public, identity.dh_public, ak, prekey_public, exp_h, signature)


def announce_secret(ak: bytes) -> bytes:
    """The secret S that announces of the owner of ``ak`` are sealed to."""
    return H(b"mc1 announce", b"", 32, ak)


# --- cards as text ---------------------------------------------------------------------------


def card_text(card: bytes, name: str) -> str:
    """A card (197 bytes) and a suggested name as one line of text, 333 to 409 characters.

    Raises:
        UsageError: The name has over 48 bytes or is no text.
    """
    if len(card) != CARD_BYTES:
        raise ValueError("a card has 197 bytes")
    label = utf8(name)
    if len(label) > NAME_MAX_BYTES:
        raise UsageError("name_too_long", f"A name has at most {NAME_MAX_BYTES} bytes: shorten it.")
    payload = card + bytes([len(label)]) + label
    payload += H(b"mc1 card-text", payload, _CHECK_BYTES)
    return _CARD_PREFIX + b32encode(payload).decode().rstrip("=")


def parse_card_text(text: str) -> tuple[Card, Clean]:
    """Read exactly one card from text. White space and letter case do not matter.

    Returns:
        The card, its signature checked, and the suggested name (may be empty).

    Raises:
        UsageError: It is not one whole, undamaged card of this version.
    """
    if len(text) > CARD_TEXT_MAX_CHARS:
        raise UsageError("card_too_long", "This is too long for a card: paste one card only.")
    packed = "".join(text.split())
    if not packed.isascii() or not packed.lower().startswith(_CARD_PREFIX):
        raise UsageError(
            "no_card", f"This is not a card: a card starts with “{_CARD_PREFIX}”, copy all of it."
        )
    damaged = UsageError(
        "card_damaged", "This card is incomplete or has a mistake: copy all of it again."
    )
    payload = _unbase32(packed[len(_CARD_PREFIX) :].upper())
    if payload is None or len(payload) <= CARD_BYTES + _CHECK_BYTES:
        raise damaged
    content, check = payload[:-_CHECK_BYTES], payload[-_CHECK_BYTES:]
    if H(b"mc1 card-text", content, _CHECK_BYTES) != check:
        raise damaged
    if content[0] != _CARD_VERSION:
        raise UsageError(
            "card_version", "This card is from a newer meshchat: update meshchat to read it."
        )
    card, size, label = content[:CARD_BYTES], content[CARD_BYTES], content[CARD_BYTES + 1 :]
    if size != len(label) or size > NAME_MAX_BYTES:
        raise damaged
    try:
        return Card.decode(card), Clean.line(label.decode())
    except UnicodeDecodeError:
        raise damaged from None
    except ProtocolError:
        raise UsageError(
            "card_forged", "This card is not signed by its owner: ask them for it again."
        ) from None


def _unbase32(text: str) -> bytes | None:
    """Bytes of unpadded upper-case base32, or None unless it is the one canonical form."""
    if not _BASE32.match(text) or len(text) % 8 in (1, 3, 6):
        return None
    data = b32decode(text + "=" * (-len(text) % 8))
    return data if b32encode(data).decode().rstrip("=") == text else None


# --- words and tags --------------------------------------------------------------------------


@cache
def _word_list(language: str) -> "Mnemonic":
    from mnemonic import Mnemonic  # 35 ms, needed only when words are shown or read

    return Mnemonic(language)


def seed_to_words(seed: bytes) -> tuple[str, ...]:
    """The 24 English BIP39 words of a 32-byte seed."""
    if len(seed) != SEED_BYTES:
        raise ValueError("a seed has 32 bytes")
    return tuple(_word_list("english").to_mnemonic(seed).split())


def words_to_seed(text: str) -> bytes:
    """Read a backup: 24 English or Russian BIP39 words, in any case, numbered or not.

    Also as ``meshchat backup`` prints them, with its heading.

    Raises:
        UsageError: Not 24 words, a word that is in no list (by its number), or a wrong checksum.
    """
    if len(text) > WORDS_MAX_CHARS:
        raise UsageError("words_too_long", "A backup has 24 words: enter only those.")
    rows = [row for row in text.splitlines() if not row.rstrip().endswith(":")]
    typed = unicodedata.normalize("NFC", "\n".join(rows)).lower().replace("ё", "е")
    words = re.findall(r"[^\W\d_]+", typed)
    if len(words) != _BACKUP_WORDS:
        raise UsageError("words_count", f"A backup has 24 words, and these are {len(words)}.")
    known = {name: set(_word_list(name).wordlist) for name in ("english", "russian")}
    if _DAMAGED in known["russian"]:
        words = [_DAMAGED if re.fullmatch("сно.а", word) else word for word in words]
    language = max(known, key=lambda name: sum(word in known[name] for word in words))
    for number, word in enumerate(words, 1):
        if word not in known[language]:
            raise UsageError(
                "words_unknown", f"Word {number} is not in the list of words: check its spelling."
            )
    # The package compares in NFKD but ships its Russian list in NFC, so the checksum is
    # checked on the English words of the same numbers.
    english, numbers = _word_list("english"), _word_list(language).wordlist
    try:
        return bytes(english.to_entropy([english.wordlist[numbers.index(word)] for word in words]))
    except ValueError:
        raise UsageError(
            "words_checksum", "These words do not belong together: check each word and the order."
        ) from None


def safety_words(fp_a: bytes, fp_b: bytes) -> tuple[str, ...]:
    """The 12 words two people compare; the same on both screens."""
    digest = H(b"mc1 safety", min(fp_a, fp_b) + max(fp_a, fp_b), 17)
    bits = int.from_bytes(digest, "big") >> 4  # 132 of 136
    words = _word_list("english").wordlist
    return tuple(words[bits >> shift & 0x7FF] for shift in range(121, -1, -11))


def safety_numbers(words: Sequence[str]) -> tuple[int, ...]:
    """The same words as their places in the list, 1 to 2048, for whom English is no help."""
    places = {word: place for place, word in enumerate(_word_list("english").wordlist, 1)}
    return tuple(places[word] for word in words)


def key_tag(key: bytes) -> str:
    """Four characters of a fingerprint (or other key), shown after names nobody has verified."""
    return b32encode(key[:5]).decode()[:4]


# --- names that look alike -------------------------------------------------------------------

# Not the whole of Unicode's list: the scripts our users read. Each pair is a case-folded letter
# and what stands for it; where capital and small letter resemble different ones, the capital
# counts, as names start with it.
_PAIRS = (
    "аa вb гr еe 3з іi јj кk мm нh оo рp сc ѕs тt уy хx ьb ыbi 6б пn ԁd ԛq ԝw ѵv єe ӏi "
    "ғr қk ҝk ҡk ңh ҥh һh өo ҫc ҭt үy ұy ҳx ҙз җж әə ǝə "  # Kazakh and its neighbours
    "αa βb γy εe ζz ηh ιi κk μm νn οo ρp σc ςc τt υy χx ωw "  # Greek
    "łi đd øo ħh ŧt ıi ȷj ɑa ɡg æae œoe 0o 1i li |i"  # Latin without decomposition, and digits
)
_LOOKALIKES = str.maketrans({pair[0]: pair[1:] for pair in _PAIRS.split()})


def name_skeleton(name: str) -> str:
    """What remains of a name to the hasty eye: equal skeletons mean the names can be mixed up.

    For comparing only, never for showing. Applying it twice changes nothing.
    """
    folded = unicodedata.normalize("NFKC", name).casefold()
    plain = [c for c in unicodedata.normalize("NFKD", folded) if not "\u0300" <= c <= "\u036f"]
    drawn = unicodedata.normalize("NFC", "".join(plain).translate(_LOOKALIKES))
    kept = [c for c in drawn if unicodedata.category(c)[0] not in "ZPC"]
    # a name of nothing but signs still has to differ from another one
    return "".join(kept or drawn.split()).replace("rn", "m").replace("vv", "w")


# --- rooms -----------------------------------------------------------------------------------


def room_name(text: str) -> str:
    """The one form of a room's name: no ``#``, case-folded, NFC, single spaces, 1 to 48 bytes.

    Raises:
        UsageError: Nothing is left, it is too long, or it holds characters that cannot be shown.
    """
    if len(text) > CARD_TEXT_MAX_CHARS:
        raise UsageError("room_name", "This is too long for the name of a room.")
    folded = unicodedata.normalize("NFD", text).casefold()
    name = unicodedata.normalize("NFC", " ".join(folded.split()).lstrip("# "))
    if not name or Clean.line(name) != name or len(utf8(name)) > NAME_MAX_BYTES:
        raise UsageError(
            "room_name",
            f"A room's name is 1 to {NAME_MAX_BYTES} bytes of visible characters: choose another.",
        )
    return name


def public_room_key(name: str) -> bytes:
    """Key RK of a room that everybody who knows its name can read."""
    return H(b"mc1 room-pub", room_name(name).encode(), 32)


def private_room_key(name: str, passphrase: str) -> bytes:
    """Key RK of a room with a passphrase. Slow on purpose (about 0.3 s): not on the event loop.

    Raises:
        UsageError: Name or passphrase cannot be used, or memory is short.
    """
    return _stretch(passphrase, H(b"mc1 room-salt", room_name(name).encode(), _SALT_BYTES))


def closed_mesh_key(passphrase: str) -> bytes:
    """Link key (psk) of a mesh closed to those without the passphrase. Slow like a room's.

    Raises:
        UsageError: The passphrase cannot be used, or memory is short.
    """
    return _stretch(passphrase, H(b"mc1 mesh-salt", b"", _SALT_BYTES))


def _stretch(passphrase: str, salt: bytes) -> bytes:
    if len(passphrase) > PASSPHRASE_MAX_BYTES:
        raise UsageError("passphrase_too_long", "This passphrase is too long: use a shorter one.")
    secret = utf8(unicodedata.normalize("NFC", passphrase.strip()))
    if not secret:
        raise UsageError("passphrase_empty", "The passphrase is empty: enter one.")
    return crypto.argon2id(secret, salt, 32, time=ARGON2_PASSES, memory_bytes=ARGON2_MEMORY_BYTES)


def room_id(key: bytes) -> bytes:
    """Room id, 16 bytes, of a room key RK."""
    return H(b"mc1 room-id", key, 16)


def room_secret(key: bytes, day: int) -> bytes:
    """The secret S of one day (days since 1970) of a room."""
    return H(b"mc1 room-day", struct.pack("<I", day), 32, key)


def room_author_seed(identity_seed: bytes, rid: bytes) -> bytes:
    """Ed25519 seed of our pseudonym in one room; says nothing about us in another."""
    return H(b"mc1 room-author", rid, 32, identity_seed)
