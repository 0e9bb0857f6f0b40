"""Ids of a node as arrays over what all nodes share: the same answers as a dict and a list."""

import gc
import tracemalloc

from hypothesis import given, settings
from hypothesis import strategies as st

from meshchat.core.shelf import Ids
from meshchat.sim.shared_ids import IdPool, SharedIds


def eid(number: int) -> bytes:
    return number.to_bytes(16, "big")


_MOVES = st.lists(
    st.one_of(
        st.tuples(st.integers(0, 1), st.just("add"), st.integers(0, 12)),
        st.tuples(st.integers(0, 1), st.just("keep"), st.integers(0, 2**12 - 1)),
        st.tuples(st.integers(0, 1), st.just("clear"), st.just(0)),
    ),
    max_size=40,
)


@settings(max_examples=100, deadline=None)
@given(_MOVES)
def test_two_nodes_share_and_answer_as_if_alone(moves: list[tuple[int, str, int]]) -> None:
    """Whatever comes, goes and is numbered anew; at the end nothing is left in the pool."""
    pool = IdPool()
    shared, alone = [SharedIds(pool), SharedIds(pool)], [Ids(), Ids()]
    for node, move, what in moves:
        one, other = shared[node], alone[node]
        if move == "add":
            assert one.add(eid(what)) == other.add(eid(what))
        else:
            chosen = bytes(what >> place & 1 for place in range(len(other)))
            other.keep(chosen)
            one.clear() if move == "clear" else one.keep(chosen)
        for mine, theirs in zip(shared, alone, strict=True):
            assert len(mine) == len(theirs)
            assert [mine.at(n) for n in range(len(mine))] == [
                theirs.at(n) for n in range(len(mine))
            ]
            assert [mine.number(eid(n)) for n in range(13)] == [
                theirs.number(eid(n)) for n in range(13)
            ]
            every = [eid(n) for n in range(13)]
            assert mine.places(every) == theirs.places(every)
            backwards = range(len(mine) - 1, -1, -1)
            assert mine.several(backwards) == theirs.several(backwards)
    for each in shared:
        each.clear()
    assert not pool.numbers
    assert not any(pool.ids)


def test_what_everybody_has_costs_each_a_few_bytes() -> None:
    """Two thousand ids at fifty nodes: less than a fifth of what dicts of their own take."""

    def cost(make: type[Ids] | None) -> int:
        tracemalloc.start()
        pool = IdPool()
        nodes = [SharedIds(pool) if make is None else make() for _ in range(50)]
        for node in nodes:
            for each in ids:
                node.add(each)
        gc.collect()
        bytes_held = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        return bytes_held

    ids = [eid(n) for n in range(2_000)]
    assert cost(None) * 5 < cost(Ids)
