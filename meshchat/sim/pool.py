"""What is the same at many nodes of one process, held once and numbered.

Every envelope and every token that any node of a world knows has one number. What a node knows of
it is then a byte at that place, not a row of its own: a crowd in which everybody has heard of
everything costs a few bytes for each node and id.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from meshchat.core import asking, exchange, offering
from meshchat.core.envelope import DONE
from meshchat.core.model import Held, Proof


class Body:
    """An envelope whole, as it is the same at every node."""

    __slots__ = ("data", "pair", "rank", "stamp")

    def __init__(self, held: Held, eid: bytes) -> None:
        self.data, self.stamp = held.data, held.stamp
        self.pair = (eid, held.hint)
        self.rank = (eid, held.size_class, held.exp_h, held.stamp)

    def is_of(self, held: Held) -> bool:
        """Whether that is the same envelope; its id is."""
        return (
            self.data == held.data
            and self.rank[1] == held.size_class
            and self.rank[2:] == (held.exp_h, held.stamp)
        )


class Name:
    """An envelope by its outside: what is remembered after it has gone."""

    __slots__ = ("body", "done", "eid", "exp_h", "holders", "no", "rows")

    def __init__(self, no: int, eid: bytes, done: bytes | None, exp_h: int) -> None:
        self.no, self.eid, self.done, self.exp_h = no, eid, done, exp_h
        self.rows = 0
        """How many nodes know it ..."""
        self.holders = 0
        """... and how many of them hold it."""
        self.body: Body | None = None
        """None: nobody does."""

    def held_by_one(self, body: Body) -> None:
        """One more node holds it."""
        self.holders += 1
        self.body = body

    def held_by_one_less(self) -> None:
        """A node let go of it; the last one frees it."""
        self.holders -= 1
        if not self.holders:
            self.body = None


class Token:
    """A delivery token."""

    __slots__ = ("done", "exp_h", "no", "rows", "token")

    def __init__(self, no: int, proof: Proof) -> None:
        self.no, self.done, self.token, self.exp_h = no, proof.done, proof.token, proof.exp_h
        self.rows = 0


class Pool:
    """Envelopes and tokens known to any store of a world, each once.

    Number 0 is nobody's, so that it can stand for what is not there. A number that no store knows
    any more is given again.
    """

    __slots__ = ("_free", "at", "by_done", "numbers", "others", "pairs")

    def __init__(self) -> None:
        self.at: list[Name | Token | None] = [None]
        """By number."""
        self.pairs: list[tuple[bytes, int]] = [(b"", 0)]
        """Id and hint, by number, of what is or was held."""
        self.numbers: dict[bytes, int] = {}
        """By id; of tokens, ``done`` is the id."""
        self.others: dict[bytes, list[int]] = {}
        """Further numbers of an id, if what nodes were given under it differs."""
        self.by_done: dict[bytes, list[int]] = {}
        """Numbers of envelopes; several where ``done`` was copied."""
        self._free: list[int] = []

    def all_of(self, some: bytes) -> Sequence[int]:
        """Every number of an id."""
        first = self.numbers.get(some)
        if first is None:
            return ()
        return (first, *self.others[some]) if some in self.others else (first,)

    def name(self, eid: bytes, done: bytes | None, exp_h: int, held: Held | None) -> Name:
        """The shared name; another one if what is held under it is not this envelope after all."""
        for no in self.all_of(eid):
            found = self.at[no]
            if isinstance(found, Name) and (found.done, found.exp_h) == (done, exp_h):
                body = found.body
                if body is None or held is None or body.is_of(held):
                    return found
        name = Name(self._place(), eid, done, exp_h)
        self._enter(name, eid, name.no)
        if done is not None:
            self.by_done.setdefault(done, []).append(name.no)
        return name

    def token(self, proof: Proof) -> Token:
        """The shared token; a relay may have given it another expiry, then one of its own."""
        for no in self.all_of(proof.done):
            found = self.at[no]
            if (
                isinstance(found, Token)
                and found.token == proof.token
                and found.exp_h == proof.exp_h
            ):
                return found
        token = Token(self._place(), proof)
        self._enter(token, proof.done, token.no)
        return token

    def _place(self) -> int:
        if self._free:
            return self._free.pop()
        self.at.append(None)
        self.pairs.append((b"", 0))
        return len(self.at) - 1

    def _enter(self, what: Name | Token, some: bytes, no: int) -> None:
        self.at[no] = what
        self.pairs[no] = (some, 0)
        if self.numbers.setdefault(some, no) != no:
            self.others.setdefault(some, []).append(no)

    def forget(self, no: int) -> None:
        """One store less knows this; with the last, its number is free."""
        what = self.at[no]
        assert what is not None, "nobody forgets what nobody knew"
        what.rows -= 1
        if what.rows:
            return
        self.at[no] = None
        self._free.append(no)
        if isinstance(what, Name):
            some = what.eid
            if what.done is not None:
                same = self.by_done[what.done]
                same.remove(no)
                if not same:
                    del self.by_done[what.done]
        else:
            some = what.done
        left = [each for each in self.all_of(some) if each != no]
        self.others.pop(some, None)
        del self.numbers[some]
        if left:
            self.numbers[some] = left[0]
            if left[1:]:
                self.others[some] = left[1:]

    @contextmanager
    def sharing(self) -> Iterator[None]:
        """Inside: an id that a node reads from a frame is the object that is here already.

        Nodes remember for each link what the neighbour has; each would else have its own copies,
        in a crowd more bytes than all that is held. And the id of an envelope that somebody holds
        byte for byte is known: comparing takes a tenth of hashing.
        """
        given, taken = vars(offering), vars(asking)
        real_ids, real_part = given["read_ids"], taken["read_part"]
        real_offers = taken["read_offers"]
        arrived = vars(exchange)
        real_id = arrived["envelope_id"]
        number, pairs, at, by_done = self.numbers.get, self.pairs, self.at, self.by_done

        def read_ids(body: bytes) -> list[bytes]:
            return [pairs[number(some, 0)][0] or some for some in real_ids(body)]

        def read_offers(body: bytes) -> list[tuple[bytes, int]]:
            return [(pairs[number(some, 0)][0] or some, hint) for some, hint in real_offers(body)]

        def read_part(body: bytes) -> tuple[bytes, int, int, bytes]:
            eid, offset, size, data = real_part(body)
            return pairs[number(eid, 0)][0] or eid, offset, size, data

        def envelope_id(data: bytes) -> bytes:
            for no in by_done.get(data[DONE], ()):
                name = at[no]
                if isinstance(name, Name) and name.body is not None and name.body.data == data:
                    return name.eid
            found: bytes = real_id(data)
            return found

        given["read_ids"], taken["read_part"] = read_ids, read_part
        taken["read_offers"] = read_offers
        arrived["envelope_id"] = envelope_id
        try:
            yield
        finally:
            arrived["envelope_id"] = real_id
            given["read_ids"], taken["read_part"] = real_ids, real_part
            taken["read_offers"] = real_offers

    def held(self) -> tuple[int, int]:
        """How many different envelopes are held, and their bytes."""
        bodies = [what.body for what in self.at if isinstance(what, Name) and what.body]
        return len(bodies), sum(len(body.data) for body in bodies)
