"""The body of a message: its innermost layer, the same in every kind of conversation.

Layout in docs/reference/wire.md, section 5.4. Reading raises ``WireError`` and nothing else on
whatever bytes it is given.
"""

import struct
from enum import IntEnum

from msgspec import Struct
from msgspec.structs import replace

from meshchat.core.crypto import H
from meshchat.core.identity import CARD_BYTES, NAME_MAX_BYTES, utf8
from meshchat.core.model import Manifest
from meshchat.core.ratchet import SID_BYTES
from meshchat.core.sealed import FILE_MAX_BYTES, FILE_NAME_MAX_BYTES
from meshchat.core.words import EMOJI_MAX_BYTES
from meshchat.errors import UsageError, WireError

TEXT_MAX_BYTES = 7_000  # with name, reply and first-message overhead it fits class 2
CONTROL_MAX_BYTES = 2_048  # a full group with the longest name has 1,662
NUMBER_BYTES = 8
MESSAGE_ID_BYTES = 8
READ_IDS_MAX = 128  # of one receipt; 8 fit into the smallest class
TIMER_MAX_S = 366 * 86_400  # disappearing after a year is not disappearing

_BODY = struct.Struct("<B8sIH")
_TAG_NAME, _TAG_REPLY, _TAG_CARD, _TAG_TIMER, _TAG_BOOT, _TAG_RESET = 1, 2, 3, 4, 5, 6
_TIMER = struct.Struct("<I")
_BOOT = struct.Struct("<I")
_EXTENSION_SIZES = {
    _TAG_REPLY: MESSAGE_ID_BYTES,
    _TAG_CARD: CARD_BYTES,
    _TAG_TIMER: _TIMER.size,
    _TAG_BOOT: _BOOT.size,
    _TAG_RESET: SID_BYTES,
}
_MANIFEST = struct.Struct("<32sI16s")


class BodyType(IntEnum):
    """What a body says."""

    TEXT = 1
    INTRODUCTION = 2
    PROFILE = 3
    FILE = 4
    REACTION = 5
    """``reply_to`` names the message, ``text`` is one emoji, empty to take it back."""
    EDIT = 6
    """``reply_to`` names a message of the same author, ``text`` is its new text."""
    RETRACT = 7
    """The author of the message ``reply_to`` names asks for it to be deleted."""
    READ = 8
    """The messages ``read`` names were shown."""
    TIMER = 9
    """From now on messages disappear after ``timer_s``."""
    REVOCATION = 16
    HIDE = 17

    GROUP = 10
    """A control message of a group (``epochs``)."""


_RAW_SIZES = {  # bytes in the place of the text; what they mean is told by who acts on them
    BodyType.REVOCATION: (101,),
    BodyType.HIDE: (9, 33),
}

ACTS = frozenset((BodyType.REACTION, BodyType.EDIT, BodyType.RETRACT))
"""What is done to a message."""
_TEXT_BYTES = {  # of each type that has text: least, most
    BodyType.TEXT: (1, TEXT_MAX_BYTES),
    BodyType.REACTION: (0, EMOJI_MAX_BYTES),
    BodyType.EDIT: (1, TEXT_MAX_BYTES),
}


class Body(Struct, frozen=True):
    """The innermost layer. ``text`` and ``name`` are a peer's raw words: ``Clean`` them to show."""

    type: BodyType
    number: bytes
    """8 random bytes, chosen once per message."""
    sent: int
    """The author's clock, seconds since 1970."""
    text: str = ""
    name: str = ""
    """The name the author claims, or empty."""
    reply_to: bytes = b""
    """Id of the message replied to (8 bytes), or empty."""
    card: bytes = b""
    """A card (197 bytes, not checked here), or empty: of the person introduced, in any other body
    the author's newest."""
    file: Manifest | None = None
    """Of a file message, and only of one; it stands where others have text."""
    boot: int = 0
    """How the author was last restored (``People.boot``); 0: never."""
    reset: bytes = b""
    """Id of a session (8 bytes) whose messages the author cannot read any more, or empty."""
    read: tuple[bytes, ...] = ()
    """Of a read receipt, and only of one: ids of 8 bytes, where others have text."""
    timer_s: int | None = None
    """Seconds after which the message disappears, 0 (never) only in a timer; None: not said."""
    raw: bytes = b""
    """Of a REVOCATION or HIDE, and only of those; it stands where others have text."""
    control: bytes = b""
    """Of a control message of a group, and only of one; not checked here."""


def message_id(author: bytes, number: bytes) -> bytes:
    """8 bytes, the same on every device; ``author`` is a fingerprint or a room author key."""
    return H(b"mc1 msg", author + number, MESSAGE_ID_BYTES)


def encode_body(body: Body) -> bytes:
    """Write a body.

    Raises:
        UsageError: The text is empty or too long, the name too long, or not text at all.
    """
    text, name = utf8(body.text), utf8(body.name)
    if (body.type is BodyType.FILE) is (body.file is None):
        raise ValueError("a file message has a manifest, no other has")
    if body.type in (BodyType.TEXT, BodyType.EDIT):
        if not text:
            raise UsageError("empty_text", "There is nothing to send: write something.")
        if len(text) > TEXT_MAX_BYTES:
            raise UsageError(
                "too_long",
                f"A message has at most {TEXT_MAX_BYTES} bytes, this one has {len(text)}: "
                "send it in parts.",
            )
    elif len(text) > _TEXT_BYTES.get(body.type, (0, 0))[1]:
        raise ValueError("this type has no text, or not so much")
    if len(body.raw) not in _RAW_SIZES.get(body.type, (0,)):
        raise ValueError("raw bytes of a wrong length")
    text += body.raw
    if (body.type is BodyType.GROUP) is not bool(body.control):
        raise ValueError("a control message has control bytes, no other has")
    if body.file is not None:
        text = _encode_manifest(body.file)
    elif body.control:
        text = body.control
    elif body.type is BodyType.READ:
        text = b"".join(body.read)
    if len(name) > NAME_MAX_BYTES:
        raise UsageError("name_too_long", f"A name has at most {NAME_MAX_BYTES} bytes: shorten it.")
    _check_sizes(body)
    data = _BODY.pack(body.type, body.number, body.sent, len(text)) + text
    boot = _BOOT.pack(body.boot) if body.boot else b""
    timer = b"" if body.timer_s is None else _TIMER.pack(body.timer_s)
    for tag, value in (
        (_TAG_NAME, name),
        (_TAG_REPLY, body.reply_to),
        (_TAG_CARD, body.card),
        (_TAG_TIMER, timer),
        (_TAG_BOOT, boot),
        (_TAG_RESET, body.reset),
    ):
        if value:
            data += bytes([tag, len(value)]) + value
    return data


def decode_body(data: bytes) -> Body:
    """Read a body; extensions with unknown tags are skipped.

    Raises:
        WireError: Anything but the exact form.
    """
    if len(data) < _BODY.size:
        raise WireError("body_length")
    kind, number, sent, text_bytes = _BODY.unpack_from(data)
    end = _BODY.size + text_bytes
    if end > len(data):
        raise WireError("body_length")
    try:
        kind = BodyType(kind)
    except ValueError:
        raise WireError("body_type") from None
    file: Manifest | None = None
    read: tuple[bytes, ...] = ()
    control = b""
    text_at = end
    least, most = _TEXT_BYTES.get(kind, (0, 0))
    if kind is BodyType.FILE:
        file = _decode_manifest(data[_BODY.size : end])
    elif kind is BodyType.READ:
        read = _decode_read(data[_BODY.size : end])
    elif kind in _RAW_SIZES:
        if text_bytes not in _RAW_SIZES[kind]:
            raise WireError("body_raw")
    elif kind is BodyType.GROUP:
        control = data[_BODY.size : end]
        if not 1 <= text_bytes <= CONTROL_MAX_BYTES:
            raise WireError("body_text")
    elif not least <= text_bytes <= most:
        raise WireError("body_text")
    else:
        text_at = _BODY.size
    extensions = _extensions(data, end)
    name = extensions.get(_TAG_NAME)
    if name is not None and not 1 <= len(name) <= NAME_MAX_BYTES:
        raise WireError("body_name")
    for tag, size in _EXTENSION_SIZES.items():
        if tag in extensions and len(extensions[tag]) != size:
            raise WireError("body_extension")
    if kind is BodyType.INTRODUCTION and _TAG_CARD not in extensions:
        raise WireError("body_no_card")
    if kind in ACTS and _TAG_REPLY not in extensions:
        raise WireError("body_no_target")
    timer_s = _decode_timer(kind, extensions.get(_TAG_TIMER))
    try:
        text, claimed = data[text_at:end].decode(), (name or b"").decode()
    except UnicodeDecodeError:
        raise WireError("body_utf8") from None
    reply_to, card = extensions.get(_TAG_REPLY, b""), extensions.get(_TAG_CARD, b"")
    raw = data[_BODY.size : end] if kind in _RAW_SIZES else b""
    (boot,) = _BOOT.unpack(extensions.get(_TAG_BOOT, bytes(_BOOT.size)))
    reset = extensions.get(_TAG_RESET, b"")
    rest = (boot, reset, read, timer_s, raw, control)
    return Body(kind, number, sent, text, claimed, reply_to, card, file, *rest)


def _decode_read(data: bytes) -> tuple[bytes, ...]:
    ids = range(0, len(data), MESSAGE_ID_BYTES)
    read = tuple(data[at : at + MESSAGE_ID_BYTES] for at in ids)
    if not 1 <= len(read) <= READ_IDS_MAX or len(read[-1]) != MESSAGE_ID_BYTES:
        raise WireError("body_read")
    if len(set(read)) != len(read):
        raise WireError("body_read")
    return read


def _decode_timer(kind: BodyType, value: bytes | None) -> int | None:
    if value is None:
        if kind is BodyType.TIMER:
            raise WireError("body_timer")
        return None
    timer_s: int = _TIMER.unpack(value)[0]
    if not (0 if kind is BodyType.TIMER else 1) <= timer_s <= TIMER_MAX_S:
        raise WireError("body_timer")
    return timer_s


def _encode_manifest(file: Manifest) -> bytes:
    name = utf8(file.name)
    data = _MANIFEST.pack(file.key, file.size, b"".join(file.chunks[:1])) + name
    told = replace(file, hash=b"", chunks=file.chunks[:1])
    try:
        fits = bool(file.chunks) and _decode_manifest(data) == told
    except WireError:
        fits = False
    if not fits:
        raise ValueError("a field of the manifest has a wrong length")
    return data


def _decode_manifest(data: bytes) -> Manifest:
    if len(data) < _MANIFEST.size:
        raise WireError("body_file")
    key, size, first = _MANIFEST.unpack_from(data)
    name = data[_MANIFEST.size :]
    if not (1 <= size <= FILE_MAX_BYTES and 1 <= len(name) <= FILE_NAME_MAX_BYTES):
        raise WireError("body_file")
    try:
        return Manifest(key, size, name.decode(), chunks=(first,))
    except UnicodeDecodeError:
        raise WireError("body_utf8") from None


def _extensions(data: bytes, at: int) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    last = 0
    while at < len(data):
        if at + 2 > len(data) or at + 2 + data[at + 1] > len(data):
            raise WireError("body_extension")
        tag, size = data[at], data[at + 1]
        if tag <= last:
            raise WireError("body_extension")
        found[tag] = data[at + 2 : at + 2 + size]
        last, at = tag, at + 2 + size
    return found


def _check_sizes(body: Body) -> None:
    if (
        len(body.number) != NUMBER_BYTES
        or len(body.reply_to) not in (0, MESSAGE_ID_BYTES)
        or len(body.card) not in (0, CARD_BYTES)
        or len(body.reset) not in (0, SID_BYTES)
        or (body.type is BodyType.INTRODUCTION and not body.card)
        or (body.type in ACTS and not body.reply_to)
        or (body.type is BodyType.READ) is not bool(body.read)
        or len(body.read) > READ_IDS_MAX
        or any(len(mid) != MESSAGE_ID_BYTES for mid in body.read)
        or (body.type is BodyType.TIMER and body.timer_s is None)
        or not 0 <= (body.timer_s or 0) <= TIMER_MAX_S
        or (body.timer_s == 0 and body.type is not BodyType.TIMER)
    ):
        raise ValueError("a field of the body has a wrong length")
