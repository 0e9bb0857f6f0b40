"""What is the same at many nodes of one process, held once."""

import weakref

from meshchat.core.model import Held, Proof


class Body:
    """An envelope, as it is the same at every node."""

    __slots__ = ("__weakref__", "data", "name", "pair", "rank")

    def __init__(self, held: Held) -> None:
        self.data = held.data
        self.name = (held.eid, held.done)
        self.pair = (held.eid, held.size_class)
        self.rank = (held.eid, held.size_class, held.exp_h, held.stamp)


class Token:
    """A delivery token, as it is the same at every node."""

    __slots__ = ("__weakref__", "done", "exp_h", "token")

    def __init__(self, proof: Proof) -> None:
        self.done, self.token, self.exp_h = proof.done, proof.token, proof.exp_h


class Pool:
    """Envelopes and tokens held by any store of a world, each once.

    References are weak: what no store holds any more is freed, however its store ended.
    """

    __slots__ = ("_bodies", "_tokens")

    def __init__(self) -> None:
        self._bodies = weakref.WeakValueDictionary[bytes, Body]()
        self._tokens = weakref.WeakValueDictionary[bytes, Token]()

    def body(self, held: Held) -> Body:
        """The shared body, or one of its own if this is not the same envelope after all."""
        body = self._bodies.get(held.eid)
        if body is None:
            body = self._bodies[held.eid] = Body(held)
        elif (
            body.data != held.data
            or body.name[1] != held.done
            or body.rank != (held.eid, held.size_class, held.exp_h, held.stamp)
        ):
            return Body(held)
        return body

    def token(self, proof: Proof) -> Token:
        """The shared token; a relay may have given it another expiry, then one of its own."""
        token = self._tokens.get(proof.done)
        if token is None:
            token = self._tokens[proof.done] = Token(proof)
        elif token.token != proof.token or token.exp_h != proof.exp_h:
            return Token(proof)
        return token

    def held(self) -> tuple[int, int]:
        """How many different envelopes are held, and their bytes."""
        sizes = [len(body.data) for body in self._bodies.values()]
        return len(sizes), sum(sizes)
