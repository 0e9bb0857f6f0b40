"""Comparing two large sets at a first meeting: symbols instead of lists (wire.md, 1.5).

Neighbours met again are told only what is new (``shelf``), and short lists are told as they are.
Where a long list would have to go to somebody new, both sides first find what differs by rateless
symbols (``riblt``): one asks, the other streams, the asker answers with marks of what it lacks and
a digest, keyed for this link, of what both have. Nothing is believed before that digest of full
ids is equal on both sides; if it never is, both go on with lists, so a poisoned stream costs air
on that link and hides nothing.

A second service is negentropy: whoever asks in that protocol is answered in it.
"""

from collections.abc import Sequence

from meshchat.core import link as records
from meshchat.core.crypto import H
from meshchat.core.link import Link
from meshchat.core.negentropy import FRAME_MIN_BYTES, Reconciliation
from meshchat.core.riblt import (
    NAMES_BODY_MAX,
    SYMBOL_BYTES,
    SYMBOLS_BODY_MAX,
    SYMBOLS_MAX,
    Decoder,
    Verdict,
    View,
    first_symbols,
    read_common,
    read_marks,
    read_symbols,
    write_marks,
)
from meshchat.core.shelf import Shelf
from meshchat.core.wire import read_count, read_digest, write_count, write_digest
from meshchat.errors import QuotaError, WireError

SKETCH_FROM_IDS = 2_048  # to list: 36 kB. Fewer ids cost less air as a list than CPU as symbols
APART_MAX = 4_096  # ids between the two counts: as many symbols would outweigh a list
NEGENTROPY_ROUNDS_MAX = 64  # of one link; an honest talk needs about four

LISTS = "lists"
"""Go on with lists of everything: no symbols, or they did not lead to an agreement."""
RECORDS = frozenset((records.SKETCH, records.MORE, records.SYMBOLS, records.MARKS, records.AGREED))


class Reconcile:
    """The comparison with one neighbour, at most one for each link and direction of asking.

    States: idle, then *telling* (we sent SKETCH) or *asking* (we answered one), then over.
    """

    def __init__(self, link: Link, shelf: Shelf) -> None:
        self._link = link
        self._shelf = shelf
        self._key = H(b"mc1 sketch", link.handshake_hash, 32)
        self._view: View | None = None
        self._decoder: Decoder | None = None
        self._told = 0  # symbols sent
        self._marks: list[int] = []
        self._common = b""
        self._over = False
        self._wants_more = 0
        self._negentropy: Reconciliation | None = None
        self._rounds = 0
        self.missing: list[bytes] = []
        """Once agreed: what only we have."""

    def begin(self, waiting: int) -> bool:
        """Send SKETCH if so many ids would have to be listed. Whether lists have to wait."""
        sketch = self._shelf.sketch() if waiting >= SKETCH_FROM_IDS else None
        if sketch is None:
            return False
        self._view = sketch.view()
        digest = self._view.common(self._key)
        self._link.send(records.SKETCH, write_digest(digest, len(self._view)))
        return True

    def record(self, kind: int, body: bytes) -> list[bytes] | str | None:
        """Take one record of the comparison.

        Returns:
            Ids that both sides have, once that is agreed; ``LISTS`` if it cannot be; else None.

        Raises:
            WireError, QuotaError: The neighbour broke the rules.
        """
        if kind == records.SKETCH:
            return self._on_sketch(*read_digest(body))
        if self._over:
            return None  # it crossed our giving up
        if self._view is None:
            raise WireError("sketch_unasked")
        if self._decoder is not None:
            if kind == records.SYMBOLS:
                return self._on_symbols(body)
            if kind == records.AGREED:
                return self._on_answer(read_common(body) if body else b"")
            raise WireError("sketch_order")
        if kind == records.MORE:
            return self._on_more(read_count(body))
        if kind == records.MARKS:
            self._marks += read_marks(body)
            if len(self._marks) > SYMBOLS_MAX:
                raise QuotaError("marks")
            return None
        if kind == records.AGREED:
            return self._on_found(read_common(body))
        raise WireError("sketch_order")

    # --- asking -----------------------------------------------------------------------------

    def _on_sketch(self, digest: bytes, count: int) -> list[bytes] | str | None:
        if self._decoder is not None or self._over:
            raise WireError("sketch_again")
        if self._view is not None and self._link.outbound:
            return None  # both offered: the dialler's counts
        sketch = self._shelf.sketch()
        apart = abs(count - (len(sketch) if sketch is not None else 0))
        if sketch is None or apart > min(APART_MAX, count // 2):
            return self._give_up()
        self._view = sketch.view()
        self._decoder = Decoder(self._view)
        if len(self._view) == count and self._view.common(self._key) == digest:
            self._found(digest, [])
            return None
        self._ask(first_symbols(apart))
        return None

    def _ask(self, count: int) -> None:
        self._wants_more = count
        self._link.send(records.MORE, write_count(count))

    def _on_symbols(self, body: bytes) -> list[bytes] | str | None:
        assert self._decoder is not None
        symbols = read_symbols(body)
        if len(symbols) > self._wants_more:
            raise QuotaError("symbols_unasked")
        self._wants_more -= len(symbols)
        verdict = self._decoder.feed(symbols)
        if verdict is Verdict.GAVE_UP:
            return self._give_up()
        if verdict is Verdict.DECODED:
            self._found(*self._decoder.answer(self._key))
        elif not self._wants_more:
            self._ask(self._decoder.more())
        return None

    def _found(self, common: bytes, marks: Sequence[int]) -> None:
        most = min(NAMES_BODY_MAX, self._link.max_record // 4)
        for at in range(0, len(marks), most):
            self._link.send(records.MARKS, write_marks(marks[at : at + most]))
        self._common = common
        self._wants_more = 0
        self._link.send(records.AGREED, common)

    def _on_answer(self, common: bytes) -> list[bytes] | str:
        assert self._view is not None and self._decoder is not None
        if not common:
            return self._end()
        if not self._common or common != self._common:
            raise WireError("agreed_unasked")
        return self._agree(self._decoder.ours)

    # --- telling ----------------------------------------------------------------------------

    def _on_more(self, count: int) -> str | None:
        assert self._view is not None
        if not count:
            return self._end()
        if self._told + count > SYMBOLS_MAX:
            raise QuotaError("symbols")
        most = min(SYMBOLS_BODY_MAX, self._link.max_record // SYMBOL_BYTES)
        end = self._told + count
        while self._told < end:
            stop = min(end, self._told + most)
            self._link.send(records.SYMBOLS, self._view.symbols(self._told, stop))
            self._told = stop
        return None

    def _on_found(self, common: bytes) -> list[bytes] | str:
        assert self._view is not None
        read = self._view.read(self._key, common, self._marks)
        if read is None:
            self._link.send(records.AGREED, b"")
            return self._end()
        self._link.send(records.AGREED, common)
        return self._agree(read)

    # --- the end ----------------------------------------------------------------------------

    def _agree(self, ours: list[bytes]) -> list[bytes]:
        assert self._view is not None
        alone = set(ours)
        both = [eid for eid in self._view.ids() if eid not in alone]
        self.missing = ours
        self._end()
        return both

    def _give_up(self) -> str:
        self._link.send(records.MORE, write_count(0))
        return self._end()

    def _end(self) -> str:
        self._over = True
        self._view = self._decoder = None
        self._marks = []
        return LISTS

    # --- negentropy -------------------------------------------------------------------------

    def negentropy(self, message: bytes) -> None:
        """Answer one message of that protocol, over the ids of all we offer."""
        self._rounds += 1
        if self._rounds > NEGENTROPY_ROUNDS_MAX:
            raise QuotaError("negentropy_rounds")
        if self._negentropy is None:
            if self._link.max_record < FRAME_MIN_BYTES:
                raise WireError("negentropy_mtu")
            items = [(0, eid) for eid in sorted(self._shelf.everything())]  # no times: they tell
            self._negentropy = Reconciliation(items, self._link.max_record)
        answer = self._negentropy.answer(message)
        if answer is not None:
            self._link.send(records.NEGENTROPY, answer)

    @property
    def names_all(self) -> bool:
        """The neighbour may have learned of anything we offer."""
        return self._negentropy is not None
