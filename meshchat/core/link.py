"""One neighbour link: handshake, frames, keep-alive. docs/reference/wire.md, sections 1.2 and 1.3.

A ``Link`` turns records into padded, encrypted frames and back. It knows no
sockets and no clock: the driver gives it frames and the time, takes frames
from ``flush``, and calls ``wake`` at ``next_wakeup``. It handles the record
types of the link itself (PAD, PING, PONG, CLOSE, REKEY); HELLO (``hello``) and all
types from 16 to 127 and CHECK are given to the caller, whose business they are.

The life of a link::

    handshake --> open --> over      (CLOSE read, ``close`` called, or any error)

Every error is a ``ProtocolError`` and final: the link is over and gives no
more records. If it had been open, ``flush`` still sends the control records
queued so far and the CLOSE a caller may add. A handshake that fails says
nothing at all, so a prober without the mesh key meets a mute port.
"""

import struct
from collections import deque
from collections.abc import Callable, Sequence

from msgspec import Struct

from meshchat.core.crypto import KEY_BYTES, TAG_BYTES, x25519_keypair
from meshchat.core.events import LinkUp
from meshchat.core.model import Now
from meshchat.core.noise import CipherState, HandshakeState
from meshchat.core.ports import Entropy
from meshchat.errors import HandshakeError, ProtocolError, QuotaError, WireError

Record = tuple[int, bytes]
"""``(type, body)``."""

FrameLog = Callable[[int, int, Sequence[bytes]], None]
"""Told of each frame that is made: link, size of the frame, and the records in it (whole, with
their heads; none in a handshake). For the simulator, which counts what air is spent on."""

PAD = 0
HELLO = 1
PING = 2
PONG = 3
CLOSE = 4
REKEY = 5
DIGEST = 16
HAVE = 17
NEXT = 18
WANT = 19
PART = 20
STORED = 21
REFUSED = 22
PROOF = 23
CREDIT = 24
SKETCH = 25
MORE = 26
SYMBOLS = 27
MARKS = 28
AGREED = 29
NEGENTROPY = 30
TYPING = 128  # a version that does not know it ignores it
CHECK = 129  # a node that does not know it ignores it, and the check ends by itself

CLOSE_DONE = 1
CLOSE_DUPLICATE = 2
CLOSE_PROTOCOL = 3
CLOSE_BUDGET = 4
CLOSE_TIMEOUT = 5
CLOSE_FULL = 6

NOISE_NAME = "Noise_XXpsk0_25519_ChaChaPoly_BLAKE2b"
VERSION = 1
FRAME_MIN_BYTES = 256  # and the step frames are padded to: hides record sizes
FRAME_MAX_BYTES = 16_640  # half of the largest envelope with heads and tag; 64 KiB would gain
# 29 % on a LAN but hold 1 Mbit/s for half a second
RECORD_HEADER_BYTES = 3
FRAME_OVERHEAD_BYTES = TAG_BYTES + RECORD_HEADER_BYTES  # what one lone record costs
HANDSHAKE_FRAME_BYTES = (48, 96, 64)  # XXpsk0 with empty payloads

HANDSHAKE_SECONDS = 10.0  # a half-open link holds a slot no longer
PING_SECONDS = 5.0  # with nothing else sent
DEAD_SECONDS = 15.0  # three lost pings; TCP alone notices a silent cut after 40 s or never
REKEY_FRAMES = 1024  # our own step
REKEY_SECONDS = 600.0
REKEY_LIMIT_FRAMES = 2048  # twice the step: a peer that never rekeys is cut off
BUDGET_RATE_BYTES = 16 * 1024  # per second: far more than ids and answers need
BUDGET_BURST_BYTES = 256 * 1024  # a full exchange of 16,000 ids at once
INVITED_FACTOR = 3  # 16 offered bytes draw WANT 18, STORED 16, a share of CREDIT and headers

PING_BYTES = 8

_RECORD = struct.Struct("<BH")
_PING = struct.Struct("<Q")
_REKEY_RECORD = _RECORD.pack(REKEY, 0)
_OURS = frozenset((HELLO, *range(DIGEST, NEGENTROPY + 1), TYPING, CHECK))  # for the caller
_IGNORED_FROM = 128  # types later versions may try without a flag day
_ZEROS = bytes(FRAME_MAX_BYTES)


class NodeKey(Struct, frozen=True):
    """The Noise static key of one run: throw-away, unrelated to the identity."""

    secret: bytes
    public: bytes

    def __repr__(self) -> str:
        return f"NodeKey({self.public.hex()})"  # logs and tracebacks show no secret


def new_node_key(entropy: Entropy) -> NodeKey:
    """A fresh random node key."""
    return NodeKey(*x25519_keypair(entropy.bytes(KEY_BYTES)))


class Link:
    """One side of a link to one physical neighbour."""

    def __init__(
        self,
        up: LinkUp,
        key: NodeKey,
        psk: bytes,
        entropy: Entropy,
        now: Now,
        log: FrameLog | None = None,
    ) -> None:
        """Start the handshake; the dialler's first message waits in ``flush``.

        Args:
            up: What the transport told. Both sides must have the same ``mtu`` and ``prologue``.
            key: Our node key.
            psk: The mesh key, 32 bytes.
            entropy: Gives the ephemeral key.
            now: Starts the handshake's time-out.
            log: Told of each frame.
        """
        if not FRAME_MIN_BYTES <= up.mtu <= FRAME_MAX_BYTES:
            raise ValueError(f"an mtu of {up.mtu} bytes")
        self.id = up.link
        self.transport = up.transport
        self.outbound = up.outbound
        self.mtu = up.mtu
        self.origin = up.origin
        self.max_record = up.mtu - FRAME_OVERHEAD_BYTES
        """Largest record body that fits a frame, in bytes."""
        self.is_open = False
        """The handshake is done and neither side has ended the link."""
        self.closed_by_peer: int | None = None
        """Reason code of the peer's CLOSE, once one was read."""
        self.remote_key = b""
        """The peer's node key; empty until open."""
        self.handshake_hash = b""
        """64 bytes, the same on both sides and for no other link; empty until open."""
        self.opened_wall = 0.0
        """Wall time at which the link opened."""
        self.sent_bytes = 0
        self.received_bytes = 0
        """Bytes of whole frames, handshake included."""
        self.ignored = 0
        """Records of types from 128 on that were skipped."""
        self.queued_bytes = 0
        """Records (with their headers) that wait for ``flush``."""

        self._log = log
        self._supervised = up.supervised
        self._own_public = key.public
        self._noise = HandshakeState(
            NOISE_NAME,
            initiator=up.outbound,
            prologue=up.prologue,
            s=(key.secret, key.public),
            e=x25519_keypair(entropy.bytes(KEY_BYTES)),
            psks=(psk,),
        )
        self._step = 0  # handshake messages sent and received
        self._handshake_out: list[bytes] = []
        self._send = self._receive = CipherState()  # replaced when the link opens
        self._can_send = False
        self._over = self._closing = False
        self._control: deque[bytes] = deque()
        self._parts: deque[bytes] = deque()
        self._sent_frames = self._received_frames = 0  # under the present keys
        self._rekeyed_at = self._sent_at = self._received_at = self._charged_at = now.mono
        self._started_at = now.mono
        self._tokens = float(BUDGET_BURST_BYTES)
        self._invited = 0  # bytes of answers that our own HAVE and WANT may draw
        self._pings = self._pongs = 0  # numbers of the last one sent and the last one answered
        if up.outbound:
            self._write_handshake()

    # --- in ------------------------------------------------------------------------------------

    def receive(self, frames: Sequence[bytes], now: Now) -> list[Record]:
        """Take whole frames in order; returns records of HELLO, CHECK and 16 to 127, in order.

        A CLOSE sets ``closed_by_peer`` and ends the link without an error, so what came before
        it is still returned. On an error, what came with it is lost: the link is over.

        Raises:
            WireError: ``frame_size``, ``padding``, ``record_truncated``, ``record_unknown``,
                ``record_length``, ``record_after_rekey``, ``pong_unasked``.
            HandshakeError: ``handshake_length``, ``linked_to_self``.
            AuthError: Tag or key wrong: a changed, lost, repeated or reordered frame, or another
                mesh key or prologue.
            QuotaError: ``link_budget`` or ``rekey_overdue``.
        """
        records: list[Record] = []
        try:
            for frame in frames:
                if self._over or self.closed_by_peer is not None:
                    break
                self.received_bytes += len(frame)
                if self.is_open:
                    self._read_frame(frame, now, records)
                else:
                    self._read_handshake(frame, now)
                self._received_at = now.mono
        except ProtocolError:
            self._end()
            raise
        return records

    def _read_handshake(self, frame: bytes, now: Now) -> None:
        if len(frame) != HANDSHAKE_FRAME_BYTES[self._step]:
            raise HandshakeError("handshake_length")
        self._noise.read_message(frame)
        self._step += 1
        if self._noise.rs == self._own_public:
            raise HandshakeError("linked_to_self")
        if not self._noise.is_done:
            self._write_handshake()
        if self._noise.is_done:
            self._send, self._receive = self._noise.split()
            self.remote_key = self._noise.rs
            self.handshake_hash = self._noise.handshake_hash
            self.opened_wall = now.wall
            self._rekeyed_at = self._sent_at = self._charged_at = now.mono
            self.is_open = self._can_send = True

    def _write_handshake(self) -> None:
        self._handshake_out.append(self._noise.write_message())
        self._step += 1

    def _read_frame(self, frame: bytes, now: Now, records: list[Record]) -> None:
        size = len(frame)
        if size > self.mtu or (size % FRAME_MIN_BYTES and size != self.mtu) or not size:
            raise WireError("frame_size")
        plain = self._receive.decrypt_with_ad(b"", frame)
        self._received_frames += 1
        at, end, free = 0, len(plain), 0
        part = rekey = False
        while at < end:
            kind = plain[at]
            if kind == PAD:
                if plain.count(0, at) != end - at:
                    raise WireError("padding")
                # A sender cannot avoid padding to the step, so that much costs nothing.
                free += min(end - at, FRAME_MIN_BYTES - 1)
                break
            head, start = at, at + RECORD_HEADER_BYTES
            if start > end:
                raise WireError("record_truncated")
            at = start + plain[at + 1] + (plain[at + 2] << 8)
            if at > end:
                raise WireError("record_truncated")
            if rekey:
                raise WireError("record_after_rekey")
            if kind in _OURS:
                if kind == PART:  # bounded by what was asked for and by credit, not by the budget
                    free += at - head
                    part = True
                records.append((kind, plain[start:at]))
            elif kind == REKEY:
                rekey = True
                if at != start:
                    raise WireError("record_length")
            elif kind >= _IGNORED_FROM:
                self.ignored += 1
            elif self._handle(kind, plain[start:at]):
                return
        self._charge(size - free - (TAG_BYTES if part else 0), now)
        if rekey:
            self._receive.rekey()
            self._received_frames = 0
        elif self._received_frames >= REKEY_LIMIT_FRAMES:
            raise QuotaError("rekey_overdue")

    def _handle(self, kind: int, body: bytes) -> bool:
        """Act on PING, PONG or CLOSE; True if the link is over."""
        if kind == PING:
            _expect(body, PING_BYTES)
            self.send(PONG, body)
        elif kind == PONG:
            _expect(body, PING_BYTES)
            (number,) = _PING.unpack(body)
            if not self._pongs < number <= self._pings:
                raise WireError("pong_unasked")
            self._pongs = number
        elif kind == CLOSE:
            _expect(body, 1)
            self.closed_by_peer = body[0]
            self._end()
            self._can_send = False
            return True
        else:
            raise WireError("record_unknown")
        return False

    def budget(self, now: Now) -> int:
        """Bytes the peer may send now beside PART records before it is cut off.

        Answers to our HAVE and WANT come on top. Whoever asks for more ids (by NEXT) waits until
        this is enough for them.
        """
        grown = (now.mono - self._charged_at) * BUDGET_RATE_BYTES
        return int(min(BUDGET_BURST_BYTES, self._tokens + max(0.0, grown)))

    def _charge(self, size: int, now: Now) -> None:
        answers = min(size, self._invited)
        self._invited -= answers
        grown = max(0.0, now.mono - self._charged_at) * BUDGET_RATE_BYTES
        self._tokens = min(BUDGET_BURST_BYTES, self._tokens + grown) - (size - answers)
        self._charged_at = now.mono
        if self._tokens < 0:
            raise QuotaError("link_budget")

    # --- out -----------------------------------------------------------------------------------

    def send(self, kind: int, body: bytes) -> None:
        """Queue a record. Control records leave before PART records, each class in order.

        Dropped if the link is over, as everything else on its way is.

        Raises:
            ValueError: ``body`` is larger than ``max_record``.
        """
        size = len(body)
        if size > self.max_record:
            raise ValueError(f"a record of {size} bytes, at most {self.max_record} fit")
        if self._over:
            return
        if kind in (HAVE, WANT):
            self._invited += INVITED_FACTOR * size
        (self._parts if kind == PART else self._control).append(_RECORD.pack(kind, size) + body)
        self.queued_bytes += size + RECORD_HEADER_BYTES

    def close(self, reason_code: int) -> None:
        """Queue CLOSE behind the control records; PART records are dropped. The link is over.

        Says nothing on a link that never opened or that the peer closed.
        """
        self._end()
        if self._can_send and not self._closing:
            self._closing = True
            self._control.append(_RECORD.pack(CLOSE, 1) + bytes((reason_code,)))
            self.queued_bytes = sum(map(len, self._control))

    def flush(self, now: Now) -> tuple[bytes, ...]:
        """Everything queued, as frames ready to leave, in order."""
        frames, self._handshake_out = self._handshake_out, []
        if self._log is not None:
            for frame in frames:
                self._log(self.id, len(frame), ())
        if self._can_send:
            while self._control or self._parts:
                frames.append(self._build_frame(now))
            self._can_send = not self._over
        if frames:
            self._sent_at = now.mono
            self.sent_bytes += sum(map(len, frames))
        return tuple(frames)

    def _build_frame(self, now: Now) -> bytes:
        room = self.mtu - TAG_BYTES
        rekey = (
            self._sent_frames + 1 >= REKEY_FRAMES or now.mono - self._rekeyed_at >= REKEY_SECONDS
        )
        if rekey:
            room -= RECORD_HEADER_BYTES
        pieces: list[bytes] = []
        used = 0
        for queue in (self._control, self._parts):
            while queue and used + len(queue[0]) <= room:
                piece = queue.popleft()
                used += len(piece)
                pieces.append(piece)
            if queue:  # its next record leaves first in the next frame
                break
        self.queued_bytes -= used
        if rekey:
            pieces.append(_REKEY_RECORD)
            used += RECORD_HEADER_BYTES
        step = -(-(used + TAG_BYTES) // FRAME_MIN_BYTES) * FRAME_MIN_BYTES
        pieces.append(_ZEROS[: min(step, self.mtu) - TAG_BYTES - used])
        frame = self._send.encrypt_with_ad(b"", b"".join(pieces))
        if self._log is not None:
            self._log(self.id, len(frame), pieces[:-1])
        self._sent_frames += 1
        if rekey:
            self._send.rekey()
            self._sent_frames = 0
            self._rekeyed_at = now.mono
        return frame

    def _end(self) -> None:
        """No more records in; nothing out but what an open link still may say by CLOSE."""
        self._over = True
        self.is_open = False
        if not self._can_send:  # else the last handshake message goes before the CLOSE
            self._handshake_out.clear()
        self._parts.clear()
        if not self._can_send or self.closed_by_peer is not None:
            self._control.clear()
        self.queued_bytes = sum(map(len, self._control))

    # --- time ----------------------------------------------------------------------------------

    def next_wakeup(self) -> float | None:
        """Monotonic time at which ``wake`` is due, or None once the link is over."""
        if self._over:
            return None
        if not self.is_open:
            return self._started_at + HANDSHAKE_SECONDS
        if self._supervised:
            return None
        return min(self._sent_at + PING_SECONDS, self._received_at + DEAD_SECONDS)

    def wake(self, now: Now) -> None:
        """Queue a PING if one is due; ``flush`` afterwards.

        Raises:
            HandshakeError: ``handshake_timeout``.
            ProtocolError: ``link_timeout``, nothing was heard for too long.
        """
        if self._over:
            return
        if not self.is_open:
            if now.mono >= self._started_at + HANDSHAKE_SECONDS:
                self._end()
                raise HandshakeError("handshake_timeout")
        elif self._supervised:
            return
        elif now.mono >= self._received_at + DEAD_SECONDS:
            self._end()
            raise ProtocolError("link_timeout")
        elif now.mono >= self._sent_at + PING_SECONDS and not self.queued_bytes:
            self._pings += 1
            self.send(PING, _PING.pack(self._pings))


def _expect(body: bytes, size: int) -> None:
    if len(body) != size:
        raise WireError("record_length")
