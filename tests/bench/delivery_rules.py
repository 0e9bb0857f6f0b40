"""The rules by which mail spreads, each with a way to switch it off in this process.

By patching, so that the code that ships has no switches. A process that has called ``switch_off``
is good for one run.
"""

from collections.abc import Callable
from typing import Any

from meshchat.core import asking, custody, offering, relay, shelf, transfers, wire
from meshchat.core.crypto import H
from meshchat.core.envelope import BULK_CLASS
from meshchat.core.model import TAG_BITS, class_of
from meshchat.core.neighbours import Neighbours
from meshchat.core.shelf import BULK_RANK
from meshchat.core.wire import PROOF_HINT
from meshchat.sim.memory import MemoryStore

TAG_MASK = (1 << TAG_BITS) - 1


def _set(where: Any, name: str, value: object) -> None:
    setattr(where, name, value)


def carry_all() -> None:
    """Every node carries every file."""
    _set(relay.Relay, "carries", lambda self, hint: True)


class _Told(int):
    """A hint that knows of which envelope it is."""

    eid: bytes


def chunk_by_chunk() -> None:
    """Whether to carry is drawn for each chunk, not for all of a file."""
    read = wire.read_offers

    def read_offers(body: bytes) -> list[tuple[bytes, int]]:
        offers: list[tuple[bytes, int]] = []
        for eid, hint in read(body):
            told = _Told(hint)
            told.eid = eid
            offers.append((eid, told))
        return offers

    def carries(self: Any, hint: _Told) -> bool:
        if class_of(hint) < BULK_CLASS:
            return True
        drawn = H(b"mc1 relay", hint.eid, 4, key=self._secret)
        return bool(int.from_bytes(drawn, "little") / 2**32 < self.share)

    _set(asking, "read_offers", read_offers)
    _set(relay.Relay, "carries", carries)


class _ByTag(int):
    """A hint in an order that tells nothing of sizes: chunks of one file are still together."""

    def __lt__(self, other: int) -> bool:
        return self & TAG_MASK < other & TAG_MASK


def any_size_first() -> None:
    """Files go in the order of a number drawn for each, whatever their size."""
    rank_of, number = shelf.rank_of, shelf.Shelf._number

    def flat(hint: int) -> int:
        return min(rank_of(hint), BULK_RANK)

    for module in (shelf, asking, offering):
        _set(module, "rank_of", flat)
    _set(shelf.Shelf, "_number", lambda self, eid, hint: number(self, eid, _ByTag(hint)))


def given_or_not() -> None:
    """What others took from us goes in no other order than what nobody has yet."""
    _set(shelf.Shelf, "gave", lambda self, eids: None)


def sought_in_turn() -> None:
    """Chunks of files for us, and what was begun, wait for their turn."""
    add, serve = transfers.Wants.add, transfers.Serving.add
    _set(transfers.Wants, "add", lambda self, eid, hint, sought: add(self, eid, hint, False))
    _set(transfers.Wants, "seek", lambda self, eid: None)
    _set(transfers.Serving, "add", lambda self, eid, hint, first: serve(self, eid, hint, False))


def ask_when_full() -> None:
    """Files are asked for even if there is no room for them."""
    _set(custody.Custody, "has_room", lambda self, hint: True)


def _first_come(stamp: int, part: int, trusted: bool) -> int:
    return trusted << custody.TRUSTED_SHIFT | stamp << custody.PIECES_SHIFT


def first_come() -> None:
    """A full store keeps what it has; smaller files push nothing out."""
    _set(custody, "worth_of", _first_come)


def start_again() -> None:
    """What a contact cut off starts again from its first byte."""
    _set(MemoryStore, "save_partial", lambda self, partial: None)


def no_purge() -> None:
    """Delivery proofs are not offered on: only the author hears of a delivery, from its reader."""
    offer = Neighbours.offer

    def without(self: Neighbours, eid: bytes, hint: int) -> None:
        if hint != PROOF_HINT:
            offer(self, eid, hint)

    _set(Neighbours, "offer", without)
    _set(MemoryStore, "released", lambda self, wall: [])


def forget_declined() -> None:
    """Nobody remembers who offered the files it would not carry."""
    decline = asking.Asking._decline

    def without(self: Any, eid: bytes, hint: int) -> None:
        decline(self, eid, hint)
        self._transfers.declined.clear()

    _set(asking.Asking, "_decline", without)


def _number(module: Any, name: str, value: float) -> Callable[[], None]:
    """Another value for a constant."""
    return lambda: _set(module, name, value)


RULES: dict[str, tuple[str, Callable[[], None]]] = {
    "share": ("a share of carriers", carry_all),
    "whole": ("whole files", chunk_by_chunk),
    "small": ("small files first", any_size_first),
    "given": ("not given yet first", given_or_not),
    "sought": ("sought and begun first", sought_in_turn),
    "room": ("asks only if there is room", ask_when_full),
    "worth": ("smaller file survives", first_come),
    "resume": ("resume of what was cut", start_again),
    "purge": ("purge by proofs", no_purge),
    "declined": ("memory of declined", forget_declined),
}
"""Every rule that ships: what it is called, and what switches it off."""

VALUES: dict[str, Callable[[], None]] = {
    "BULK_OPEN_MAX 8 -> 2": _number(asking, "BULK_OPEN_MAX", 2),
    "BULK_OPEN_MAX 8 -> 64": _number(asking, "BULK_OPEN_MAX", 64),
    "SHARE_FIRST 0.5 -> 1": _number(relay, "SHARE_FIRST", 1.0),
    "HOLD_S 60 -> 5": _number(asking, "HOLD_S", 5.0),
    "HOLD_S 60 -> 600": _number(asking, "HOLD_S", 600.0),
    "FULL_WAIT_S 600 -> 0": _number(asking, "FULL_WAIT_S", 0.0),
    "NOVELTY_ALL 0.15 -> 0.08": _number(relay, "NOVELTY_ALL", 0.08),
    "NOVELTY_ALL 0.15 -> 0.3": _number(relay, "NOVELTY_ALL", 0.3),
    "SHARE_MIN 0.125 -> 0.06": _number(relay, "SHARE_MIN", 0.06),
    "SHARE_MIN 0.125 -> 0.25": _number(relay, "SHARE_MIN", 0.25),
}
"""Other values of the numbers in the rules."""

FLOODING = ("share", "small", "given", "sought", "worth", "purge")
"""What plain flooding does without: everything to everybody, in any order, for its whole life.
It still goes on where a contact was cut off, and asks for nothing it has no room for."""


def title(name: str) -> str:
    """What a row of the table is called."""
    return f"without: {RULES[name][0]}" if name in RULES else name


def switch_off(names: tuple[str, ...]) -> None:
    """Switch these rules off, or these values in, for the rest of the process."""
    for name in names:
        (RULES[name][1] if name in RULES else VALUES[name])()
