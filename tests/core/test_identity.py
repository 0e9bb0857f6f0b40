"""Identity, cards and their text form, backup words, look-alike names, room keys."""

import unicodedata
from base64 import b32decode, b32encode
from hashlib import blake2b

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mnemonic import Mnemonic
from msgspec.structs import replace
from sealing import LOW_ORDER, VECTORS, fixed

from meshchat.core import crypto, identity
from meshchat.core.identity import (
    CARD_BYTES,
    Card,
    Identity,
    card_text,
    key_tag,
    make_card,
    name_skeleton,
    parse_card_text,
    private_room_key,
    public_room_key,
    room_author_seed,
    room_id,
    room_name,
    room_secret,
    safety_words,
    seed_to_words,
    words_to_seed,
)
from meshchat.errors import AuthError, ProtocolError, UsageError, WireError

ANNA = Identity.from_seed(fixed("anna"))
BORIS = Identity.from_seed(fixed("boris"))
PREKEY = crypto.x25519_public(fixed("prekey"))
CARD = make_card(ANNA, fixed("ak"), PREKEY, 500_000)


def person_vectors() -> list[dict[str, str]]:
    return VECTORS["people"]


# --- identity and card -------------------------------------------------------------------------


@pytest.mark.parametrize("want", person_vectors(), ids=lambda p: p["tag"])
def test_identity_and_card_match_the_frozen_vectors(want: dict[str, str]) -> None:
    """Seed, keys, card, text and words are what they were when the format was frozen."""
    me = Identity.from_seed(bytes.fromhex(want["seed"]))
    assert (me.sign_public.hex(), me.dh_secret.hex()) == (want["sign_public"], want["dh_secret"])
    assert (me.dh_public.hex(), me.fp.hex()) == (want["dh_public"], want["fp"])
    assert key_tag(me.fp) == want["tag"]
    ak, prekey = bytes.fromhex(want["announce_key"]), bytes.fromhex(want["prekey"])
    card = make_card(me, ak, prekey, VECTORS["people"][0]["card_exp_h"])
    assert card.encode().hex() == want["card"]
    assert Card.decode(bytes.fromhex(want["card"])) == card
    assert card_text(card.encode(), want["name"]) == want["card_text"]
    assert parse_card_text(want["card_text"]) == (card, want["name"])
    assert " ".join(seed_to_words(me.seed)) == want["words"]
    assert words_to_seed(want["words"]) == me.seed


def test_secrets_are_not_in_the_repr() -> None:
    """A log line or traceback that shows an identity shows no secret."""
    shown = repr(ANNA)
    for secret in (ANNA.seed, ANNA.sign_seed, ANNA.dh_secret):
        assert repr(secret) not in shown


def test_seed_of_wrong_size_is_a_bug() -> None:
    """A short seed cannot silently give a weak identity."""
    for n in (0, 31, 33):
        with pytest.raises(ValueError, match="32 bytes"):
            Identity.from_seed(bytes(n))


@given(st.binary(min_size=32, max_size=32), st.integers(0, 2**32 - 1))
def test_card_round_trip(ak: bytes, exp_h: int) -> None:
    """decode(encode(card)) is the card, for any announce key and hour."""
    card = make_card(BORIS, ak, PREKEY, exp_h)
    data = card.encode()
    assert len(data) == CARD_BYTES
    assert Card.decode(data) == card
    assert card.fp == BORIS.fp


@given(st.integers(0, CARD_BYTES - 1), st.integers(1, 255))
def test_card_with_any_byte_changed_is_rejected(at: int, flip: int) -> None:
    """The signature covers everything, and nothing of the signature is free."""
    data = bytearray(CARD.encode())
    data[at] ^= flip
    with pytest.raises(ProtocolError):
        Card.decode(bytes(data))


@given(st.binary(max_size=300) | st.binary(min_size=CARD_BYTES, max_size=CARD_BYTES))
@example(b"\x01" + bytes(CARD_BYTES - 1))
def test_arbitrary_bytes_are_no_card(data: bytes) -> None:
    """Only ProtocolError comes out of the parser."""
    with pytest.raises(ProtocolError):
        Card.decode(data)


def test_card_reasons() -> None:
    """Length, version and signature have their own reason codes."""
    data = CARD.encode()
    for bad, error, reason in (
        (data[:-1], WireError, "card_length"),
        (data + b"\0", WireError, "card_length"),
        (b"\x02" + data[1:], WireError, "card_version"),
        (data[:-1] + bytes([data[-1] ^ 1]), AuthError, "bad_signature"),
    ):
        with pytest.raises(error) as caught:
            Card.decode(bad)
        assert caught.value.reason == reason


@pytest.mark.parametrize("point", LOW_ORDER, ids=lambda p: p.hex()[:8] + p.hex()[-2:])
def test_card_with_low_order_keys_is_rejected(point: bytes) -> None:
    """A well-signed card whose prekey or identity key would make DH constant does not get in."""
    with pytest.raises(AuthError, match="low order"):
        Card.decode(make_card(ANNA, fixed("ak"), point, 1).encode())
    odd = replace(ANNA, dh_public=point)
    with pytest.raises(AuthError, match="low order"):
        Card.decode(make_card(odd, fixed("ak"), PREKEY, 1).encode())


def test_supersedes() -> None:
    """A card replaces only one of the same identity that is not newer, and never itself."""
    old = make_card(ANNA, fixed("ak"), PREKEY, 499_999)
    same_hour = make_card(ANNA, fixed("other ak"), PREKEY, 500_000)
    other = make_card(BORIS, fixed("ak"), PREKEY, 500_001)
    assert CARD.supersedes(old)
    assert not old.supersedes(CARD)
    assert not CARD.supersedes(CARD)
    assert CARD.supersedes(same_hour)
    assert same_hour.supersedes(CARD)
    assert not other.supersedes(CARD)


# --- card text ---------------------------------------------------------------------------------


def reason_of(text: str) -> str:
    with pytest.raises(UsageError) as caught:
        parse_card_text(text)
    message = str(caught.value)
    assert message.endswith(".") and "\n" not in message
    return caught.value.reason


@given(st.text(max_size=12).filter(lambda s: len(s.encode("utf-8", "replace")) <= 48))
def test_card_text_round_trip(name: str) -> None:
    """Any name of at most 48 bytes comes back cleaned, the card unchanged."""
    try:
        text = card_text(CARD.encode(), name)
    except UsageError as error:
        assert error.reason == "broken_text"  # lone surrogates
        return
    card, shown = parse_card_text(text)
    assert card == CARD
    assert shown == identity.Clean.line(name)
    assert len(text) <= 409


def test_card_text_ignores_space_and_case() -> None:
    """Line breaks of a mail, and a QR code's capitals or small letters, do not matter."""
    text = card_text(CARD.encode(), "Айгүл")
    lines = "\r\n > ".join(text[i : i + 20] for i in range(0, len(text), 20)).replace(">", "\t")
    for variant in (text.lower(), text.upper(), f"\n  {lines} \u00a0\u2003\n"):
        assert parse_card_text(variant) == (CARD, "Айгүл")


def test_card_text_with_any_character_changed_is_rejected() -> None:
    """Each bit of each character: the result is refused, or it is only another letter case."""
    text = card_text(CARD.encode(), "Anna")
    for at, char in enumerate(text):
        for bit in range(8):
            other = chr(ord(char) ^ (1 << bit))
            changed = text[:at] + other + text[at + 1 :]
            if other.isascii() and other.lower() == char.lower():
                assert parse_card_text(changed) == (CARD, "Anna")
            else:
                reason_of(changed)


def test_card_text_cut_anywhere_is_rejected() -> None:
    """A card that was not copied whole never parses as another one."""
    text = card_text(CARD.encode(), "Anna")
    for end in range(len(text)):
        reason_of(text[:end])
        reason_of(text[end + 1 :])
        reason_of(text[:end] + text[end + 1 :])


def with_check(content: bytes) -> str:
    """Card text with a right checksum over whatever content."""
    check = blake2b(content, digest_size=4, person=b"mc1 card-text").digest()
    return "meshchat:" + b32encode(content + check).decode().rstrip("=")


def test_card_text_checksum_is_no_proof() -> None:
    """A forger who recomputes the checksum is stopped by the signature, at every byte."""
    data = CARD.encode()
    assert parse_card_text(with_check(data + b"\0")) == (CARD, "")
    for at in range(CARD_BYTES):
        forged = data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]
        assert reason_of(with_check(forged + b"\0")) == ("card_forged" if at else "card_version")


def test_card_text_reasons() -> None:
    """Each kind of mistake gets its own sentence."""
    data = CARD.encode()
    text = card_text(data, "Anna")
    assert reason_of("") == "no_card"
    assert reason_of("hello") == "no_card"
    assert reason_of(text.replace("meshchat:", "meshcat:")) == "no_card"
    assert reason_of("see " + text) == "no_card"
    assert reason_of("meshchat:") == "card_damaged"
    assert reason_of(text + " " + text) == "card_damaged"
    assert reason_of(text + "=") == "card_damaged"
    assert reason_of(text.replace("A", "\u0410")) == "no_card"  # a Cyrillic look-alike
    assert reason_of("meshchat:" + "A" * 2_000) == "card_too_long"
    assert reason_of(with_check(data)) == "card_damaged"
    assert reason_of(with_check(data + b"\x05Anna")) == "card_damaged"
    assert reason_of(with_check(data + b"\x03Anna")) == "card_damaged"
    assert reason_of(with_check(data + b"\x31" + b"A" * 49)) == "card_damaged"
    assert reason_of(with_check(data + b"\x02\xc3\x28")) == "card_damaged"


def test_card_text_has_one_form() -> None:
    """Unused bits of the last base32 letter must be zero: no two texts for one card."""
    text = card_text(CARD.encode(), "Anna")  # 206 bytes: the last letter carries 2 unused bits
    body = text.removeprefix("meshchat:")
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".index(body[-1])
    twin = text[:-1] + "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[last | 1]
    pad = "=" * (-len(body) % 8)
    assert b32decode(twin.removeprefix("meshchat:") + pad) == b32decode(body + pad)
    assert reason_of(twin) == "card_damaged"


@given(st.text(max_size=600) | st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", max_size=600))
def test_arbitrary_text_is_no_card(text: str) -> None:
    """Whatever is pasted, the answer is a UsageError."""
    reason_of(text)
    reason_of("meshchat:" + text)


def test_hostile_name_is_clean_when_read() -> None:
    """Escape sequences and bidi controls in a card's name do not reach the reader."""
    _, name = parse_card_text(card_text(CARD.encode(), "A\x1b[2J\u202ebob\n\ttwo"))
    assert name == "A[2Jbob two"


def test_long_name_is_refused() -> None:
    """48 bytes, not characters."""
    card_text(CARD.encode(), "ә" * 24)
    with pytest.raises(UsageError) as caught:
        card_text(CARD.encode(), "ә" * 25)
    assert caught.value.reason == "name_too_long"


# --- words -------------------------------------------------------------------------------------


@given(st.binary(min_size=32, max_size=32))
def test_backup_round_trip(seed: bytes) -> None:
    """24 words there and back, also numbered, in capitals, over several lines."""
    words = seed_to_words(seed)
    assert len(words) == 24
    assert words_to_seed(" ".join(words)) == seed
    assert words_to_seed("\n".join(f"{n}. {w.upper()}," for n, w in enumerate(words, 1))) == seed
    listed = "\n".join(f"{n:2}. {word}" for n, word in enumerate(words, 1))
    assert words_to_seed(f"Write these down on paper, in order:\n{listed}\n") == seed


@given(st.binary(min_size=32, max_size=32), st.sampled_from(["NFC", "NFKD"]))
@example(bytes(20) + b"\x06\x24" + bytes(10), "NFC")  # the word the package ships damaged
def test_russian_backup_is_read(seed: bytes, form: str) -> None:
    """Words of the Russian list restore too, however й was typed."""
    words = Mnemonic("russian").to_mnemonic(seed).replace("\ufffd\ufffd", "в")
    assert words_to_seed(unicodedata.normalize(form, words)) == seed


def test_published_backup_vector() -> None:
    """The all-zero and all-one vectors of BIP39."""
    assert words_to_seed("abandon " * 23 + "art") == bytes(32)
    assert words_to_seed("zoo " * 23 + "vote") == b"\xff" * 32


def test_backup_mistakes_are_named() -> None:
    """Count, unknown word by number, and checksum, without repeating the secret words."""
    words = list(seed_to_words(ANNA.seed))
    cases = (
        (" ".join(words[:-1]), "words_count", "23"),
        ("", "words_count", "0"),
        (" ".join([*words[:6], "qwertz", *words[7:]]), "words_unknown", "Word 7 "),
        (" ".join([words[1], words[0], *words[2:]]), "words_checksum", "order"),
        (" ".join([*words[:6], "абзац", *words[7:]]), "words_unknown", "Word 7 "),
        ("zoo " * 400, "words_too_long", "24"),
    )
    for text, reason, says in cases:
        with pytest.raises(UsageError) as caught:
            words_to_seed(text)
        assert caught.value.reason == reason
        assert says in str(caught.value)
        assert "qwertz" not in str(caught.value)


@given(st.text(max_size=1_100))
def test_arbitrary_text_is_no_backup(text: str) -> None:
    """Only UsageError comes out."""
    with pytest.raises(UsageError):
        words_to_seed(text)


def test_safety_words() -> None:
    """Frozen, the same from both sides, and all bits of both keys count."""
    a, b = (bytes.fromhex(p["fp"]) for p in person_vectors())
    words = safety_words(a, b)
    assert " ".join(words) == VECTORS["safety_words"]
    assert safety_words(b, a) == words
    digest = blake2b(min(a, b) + max(a, b), digest_size=17, person=b"mc1 safety").digest()
    bits = "".join(f"{byte:08b}" for byte in digest)
    listed = Mnemonic("english").wordlist
    assert words == tuple(listed[int(bits[i : i + 11], 2)] for i in range(0, 132, 11))
    for at in range(32):
        other = b[:at] + bytes([b[at] ^ 1]) + b[at + 1 :]
        assert safety_words(a, other) != words


# --- look-alike names --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Алия", "Aлия"),
        ("АСЕЛЬ", "асель"),
        ("Қанат", "Канат"),
        ("Өмір", "Омiр"),
        ("paypal", "раура1"),
        ("modern", "modem"),
        ("Alice", "A l-i.c\u200be"),
        ("ALICE", "AIice"),
        ("Νίκος", "Nikoc"),
        ("Bob", "Воb"),
        ("Bob", "Bo\u0301b"),
        ("Bob", "𝐁𝐨𝐛"),
        ("Bob", "Ｂｏｂ"),
        ("Андрей", "Андреи"),
        ("victor vv", "Victor W"),
    ],
)
def test_look_alikes_share_a_skeleton(one: str, other: str) -> None:
    """What the hasty eye mixes up, the comparison mixes up."""
    assert name_skeleton(one) == name_skeleton(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Anna", "Anne"),
        ("Асель", "Әсель"),
        ("🙂", "🙃"),
        ("Болат", "Марат"),
        ("...", "--"),
        ("a", ""),
    ],
)
def test_different_names_stay_different(one: str, other: str) -> None:
    """Names people tell apart are not refused as duplicates."""
    assert name_skeleton(one) != name_skeleton(other)


@given(st.text(max_size=20))
def test_skeleton_is_stable(name: str) -> None:
    """Applying it twice changes nothing, and letter case never matters."""
    skeleton = name_skeleton(name)
    assert name_skeleton(skeleton) == skeleton


# --- rooms -------------------------------------------------------------------------------------


def test_room_keys_match_the_frozen_vectors() -> None:
    """Name, keys, ids and pseudonym are what they were; what was typed does not matter."""
    room = VECTORS["room"]
    key = public_room_key(room["typed"])
    assert room_name(room["typed"]) == room["name"]
    assert key.hex() == room["public_key"]
    assert public_room_key(" ##  АЛМАТЫ ") == key
    rid = room_id(key)
    assert rid.hex() == room["rid"]
    assert room_secret(key, room["day"]).hex() == room["secret"]
    assert room_secret(key, room["day"] + 1).hex() != room["secret"]
    seed = room_author_seed(bytes.fromhex(person_vectors()[0]["seed"]), rid)
    assert seed.hex() == room["author_seed"]
    assert crypto.sign_public(seed).hex() == room["author"]


def test_private_room_key() -> None:
    """Frozen; depends on name and passphrase, not on how they were typed."""
    room = VECTORS["room"]
    want = bytes.fromhex(room["private_key"])
    typed = unicodedata.normalize("NFD", f" {room['passphrase']}\n")
    assert private_room_key("алматы", typed) == want
    assert private_room_key("алматы", room["passphrase"] + "!") != want
    assert private_room_key("астана", room["passphrase"]) != want


@pytest.mark.parametrize("passphrase", ["", "  \n", "x" * 1_025, "\ud800"])
def test_unusable_passphrase(passphrase: str) -> None:
    """Nothing, far too much, or broken text is refused before any slow work."""
    with pytest.raises(UsageError):
        private_room_key("room", passphrase)


@pytest.mark.parametrize(
    "text",
    ["", "#", " ## ", "a" * 49, "ә" * 25, "a\x1bb", "a\u202eb", "a\u200bb", "\ud800", "x" * 9_999],
)
def test_unusable_room_name(text: str) -> None:
    """Empty, too long, or with characters nobody can see."""
    with pytest.raises(UsageError) as caught:
        room_name(text)
    assert caught.value.reason == "room_name"


@given(st.text(max_size=30))
def test_room_name_is_canonical(text: str) -> None:
    """Canonical names are fixed points, and differ from what was typed only in form."""
    try:
        name = room_name(text)
    except UsageError:
        return
    assert room_name(name) == name
    assert room_name(f" # {name} ") == name
    assert room_name(unicodedata.normalize("NFD", text)) == name
    assert 1 <= len(name.encode()) <= 48
