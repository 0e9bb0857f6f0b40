"""The live check: two contacts on one direct link compare seven signs (wire.md, 1.7).

A link already proves that its other end holds the key *we* have for a contact. Whether that is
the key our friend really has, only the friend can say: both screens show seven signs out of 64
(42 bits) that depend on the handshake of this very link, on both fingerprints, and on a random
number of each side. Somebody in the middle has a link with each of the two, so they differ.

42 bits could be searched through, were the numbers not fixed in turn: the starter commits to its
own before it sees the other's, and the other chose before the starter reveals. Each side has one
guess, and a wrong one is seen.

Where a check is, and what brings it on (anything else changes nothing)::

    state      our user   COMMIT read     ANSWER read   REVEAL read   END read
    ---------  ---------  --------------  ------------  ------------  --------
    none       COMMITTED  ANSWERED        -             -             -
    COMMITTED  refused    crossed: below  SHOWN         -             none
    ANSWERED   refused    END busy        -             SHOWN         none
    SHOWN      none       END busy        -             -             none
    SAID_YES   (as none)  (as none)       -             -             told

Where both start at once the dialler's COMMIT counts and the other is forgotten. A node has one
check at a time: people compare with one person at a time. SAID_YES remembers for a while whom our
user has confirmed, so that a friend who then says *different* is heard.
"""

from collections.abc import Callable
from enum import Enum, IntEnum, auto
from typing import NamedTuple

from msgspec import Struct

from meshchat.core.crypto import H, equal
from meshchat.core.events import CheckEnded, CheckShown, Tell
from meshchat.core.model import Now
from meshchat.core.ports import Entropy
from meshchat.core.signs import SIGNS
from meshchat.errors import AuthError, UsageError, WireError

NUMBER_BYTES = 32
BODY_BYTES = 1 + NUMBER_BYTES
REPLY_WAIT_S = 15.0  # as long as a silent link lives; the other node answers without its user
PERSON_WAIT_S = 180.0  # two people find each other, read seven words aloud, and decide
START_GAP_S = 5.0  # a contact cannot make our screen flicker


class Step(IntEnum):
    """First byte of a CHECK record."""

    COMMIT = 1
    ANSWER = 2
    REVEAL = 3
    END = 4


class Reason(IntEnum):
    """Why a check was ended; in an END."""

    CANCELLED = 1
    DIFFERENT = 2
    BUSY = 3
    TIMEOUT = 4


class State(Enum):
    """See the table above; *none* is no object at all."""

    COMMITTED = auto()
    ANSWERED = auto()
    SHOWN = auto()
    SAID_YES = auto()


class Line(NamedTuple):
    """A link on which a contact was recognised."""

    link: int
    contact: bytes
    """Fingerprint."""
    h: bytes
    """The handshake hash."""
    outbound: bool
    """We dialled."""


class _Check(Struct):
    line: Line
    state: State
    due: float
    """Monotonic time at which it is over by itself."""
    number: bytes = b""
    commitment: bytes = b""
    """The other's (ANSWERED)."""
    signs: tuple[int, ...] = ()


def commitment(h: bytes, starter: bytes, answerer: bytes, number: bytes) -> bytes:
    """What a starter sends before it knows the answer: 32 bytes, of this link and direction."""
    return H(b"mc1 check-commit", h + starter + answerer + number, 32)


def signs_of(
    h: bytes, starter: bytes, answerer: bytes, number: bytes, answer: bytes
) -> tuple[int, ...]:
    """Seven numbers below 64, the same on both screens."""
    digest = H(b"mc1 check-signs", h + starter + answerer + number + answer, 6)
    bits = int.from_bytes(digest, "big") >> 6  # 42 of 48: there is one guess
    return tuple(bits >> shift & 63 for shift in range(36, -1, -6))


class LiveChecks:
    """The check of one node, if there is one."""

    def __init__(
        self,
        own_fp: bytes,
        entropy: Entropy,
        send: Callable[[int, bytes], None],
        tell: Callable[[Tell], None],
    ) -> None:
        """``send`` puts a CHECK record with this body on a link."""
        self._own_fp = own_fp
        self._entropy = entropy
        self._send = send
        self._tell = tell
        self._check: _Check | None = None
        self._started: dict[bytes, float] = {}  # contact -> when its last COMMIT was taken

    # --- our user ---

    def start(self, line: Line, now: Now) -> None:
        """Begin a check.

        Raises:
            UsageError: ``check_busy``.
        """
        if self._busy:
            raise UsageError("check_busy", "A check is under way already: finish or cancel it.")
        number = self._entropy.bytes(NUMBER_BYTES)
        self._check = _Check(line, State.COMMITTED, now.mono + REPLY_WAIT_S, number)
        mine = commitment(line.h, self._own_fp, line.contact, number)
        self._send(line.link, bytes([Step.COMMIT]) + mine)

    def answer(self, fp: bytes, same: bool, now: Now) -> None:
        """Our user has compared the signs.

        Raises:
            UsageError: ``no_check``, none is shown for this contact.
        """
        check = self._check
        if check is None or check.line.contact != fp or check.state is not State.SHOWN:
            raise UsageError("no_check", "No signs are shown for this contact: start a check.")
        if same:
            check.state, check.due = State.SAID_YES, now.mono + PERSON_WAIT_S
            self._tell(CheckEnded(fp, "same"))
        else:
            self._end(Reason.DIFFERENT, "different")

    def cancel(self, fp: bytes) -> None:
        """Our user does not want to compare now; nothing is said of the contact."""
        if self._busy and self._check is not None and self._check.line.contact == fp:
            self._end(Reason.CANCELLED, "cancelled")

    def shown(self, fp: bytes) -> tuple[int, ...]:
        """The signs that wait for our user's answer, or none."""
        check = self._check
        if check is None or check.line.contact != fp or check.state is not State.SHOWN:
            return ()
        return check.signs

    @property
    def _busy(self) -> bool:
        return self._check is not None and self._check.state is not State.SAID_YES

    # --- the other side ---

    def record(self, line: Line, body: bytes, now: Now) -> None:
        """A CHECK record from a contact.

        Raises:
            WireError: ``check_form``.
            AuthError: ``check_reveal``, the number is not the one that was committed to.
        """
        if len(body) != BODY_BYTES or not Step.COMMIT <= body[0] <= Step.END:
            raise WireError("check_form")
        value = body[1:]
        ours = self._check is not None and self._check.line.link == line.link
        if body[0] == Step.COMMIT:
            self._on_commit(line, value, now)
        elif body[0] == Step.END:
            if not Reason.CANCELLED <= value[0] <= Reason.TIMEOUT or any(value[1:]):
                raise WireError("check_form")
            if ours:
                self._on_end(Reason(value[0]))
        elif ours and body[0] == Step.ANSWER:
            self._on_answer(value, now)
        elif ours:
            self._on_reveal(value, now)

    def _on_commit(self, line: Line, value: bytes, now: Now) -> None:
        check = self._check
        if check is not None and check.line.link == line.link and check.state is State.COMMITTED:
            if line.outbound:
                return  # crossed: ours counts
        elif self._busy or now.mono - self._started.get(line.contact, -1e9) < START_GAP_S:
            self._send_end(line.link, Reason.BUSY)
            return
        self._started[line.contact] = now.mono
        number = self._entropy.bytes(NUMBER_BYTES)
        self._check = _Check(line, State.ANSWERED, now.mono + REPLY_WAIT_S, number, value)
        self._send(line.link, bytes([Step.ANSWER]) + number)

    def _on_answer(self, value: bytes, now: Now) -> None:
        check = self._check
        if check is None or check.state is not State.COMMITTED:
            return  # late: it was ended meanwhile
        self._send(check.line.link, bytes([Step.REVEAL]) + check.number)
        line = check.line
        self._show(signs_of(line.h, self._own_fp, line.contact, check.number, value), now)

    def _on_reveal(self, value: bytes, now: Now) -> None:
        check = self._check
        if check is None or check.state is not State.ANSWERED:
            return
        line = check.line
        if not equal(commitment(line.h, line.contact, self._own_fp, value), check.commitment):
            self._over("cheated")
            raise AuthError("check_reveal")
        self._show(signs_of(line.h, line.contact, self._own_fp, value, check.number), now)

    def _show(self, signs: tuple[int, ...], now: Now) -> None:
        assert self._check is not None
        check = self._check
        check.state, check.due, check.signs = State.SHOWN, now.mono + PERSON_WAIT_S, signs
        self._tell(CheckShown(check.line.contact, signs))

    def _on_end(self, reason: Reason) -> None:
        assert self._check is not None
        if self._check.state is not State.SAID_YES:
            self._over({Reason.DIFFERENT: "denied", Reason.BUSY: "busy"}.get(reason, "ended"))
        elif reason is Reason.DIFFERENT:
            self._over("denied")

    # --- its end ---

    def _end(self, reason: Reason, what: str) -> None:
        assert self._check is not None
        self._send_end(self._check.line.link, reason)
        self._over(what)

    def _send_end(self, link: int, reason: Reason) -> None:
        self._send(link, bytes([Step.END, reason]) + bytes(NUMBER_BYTES - 1))

    def _over(self, what: str) -> None:
        assert self._check is not None
        fp, self._check = self._check.line.contact, None
        self._tell(CheckEnded(fp, what))

    def link_down(self, link: int) -> None:
        """A link is gone, and its handshake hash with it."""
        if self._check is not None and self._check.line.link == link:
            if self._busy:
                self._over("link_lost")
            self._check = None

    def next_wakeup(self) -> float | None:
        """Monotonic time at which ``wake`` is due."""
        return self._check.due if self._check is not None else None

    def wake(self, now: Now) -> None:
        """End a check whose time is over."""
        if self._check is not None and now.mono >= self._check.due:
            if self._busy:
                self._end(Reason.TIMEOUT, "timeout")
            self._check = None


assert len(SIGNS) == 64, "six bits each"
