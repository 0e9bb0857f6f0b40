"""The limit and the clairvoyant plan, checked by other programs that share no code with them."""

import heapq
import random
from bisect import bisect_left
from collections.abc import Sequence
from itertools import chain, islice, pairwise
from statistics import quantiles

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shared_traces import NAMES, NEEDS_TRACES, contacts_of, workload_of

from meshchat.sim import oracle
from meshchat.sim.planner import Transfer, schedule
from meshchat.sim.traces import read_contacts, read_workload
from meshchat.sim.ways import Contact, Wanted

NEVER = float("inf")


# --- other programs for the same figures --------------------------------------------------------


def by_hops(
    contacts: Sequence[Contact], want: Wanted, took: float = 0.0
) -> tuple[float | None, int | None, int | None]:
    """Earliest arrival, fewest hops of an earliest way, fewest hops in time.

    Bellman and Ford: the earliest arrival everywhere with one hop more, until nothing improves.
    A hop lasts ``took`` seconds.
    """
    deadline = want.created + want.ttl
    best = {want.src: want.created}
    arrived, hops, fewest = (want.created, 0, 0) if want.src == want.dst else (None, None, None)
    hop, changed = 0, True
    while changed:
        hop, changed, new = hop + 1, False, dict(best)
        for start, end, a, b in contacts:
            for giver, taker in ((a, b), (b, a)):
                begin = max(best.get(giver, NEVER), start)
                done = begin + took
                in_time = begin < end and done <= end and done <= deadline
                if in_time and done < new.get(taker, NEVER):
                    new[taker], changed = done, True
        best = new
        at = best.get(want.dst)
        if at is not None and at != arrived:
            arrived, hops = at, hop
            fewest = hop if fewest is None else fewest
    return arrived, hops, fewest


class LabelSetting:
    """Dijkstra over contacts, one delivery at a time: the nearest node in time is settled next."""

    SHORT_S = 300.0  # among short contacts, those that began shortly before are still open

    def __init__(self, contacts: Sequence[Contact], nodes: int) -> None:
        self.short: list[list[tuple[float, float, int]]] = [[] for _ in range(nodes)]
        self.long: list[list[tuple[float, float, int]]] = [[] for _ in range(nodes)]
        for start, end, a, b in sorted(contacts):
            own = self.long if end - start > self.SHORT_S else self.short
            own[a].append((start, end, b))
            own[b].append((start, end, a))
        self.starts = [[contact[0] for contact in own] for own in self.short]

    def arrival(self, want: Wanted) -> float | None:
        """When it is there at the earliest, or None."""
        upto = want.created + want.ttl
        best, settled = {want.src: want.created}, bytearray(len(self.long))
        heap = [(want.created, want.src)]
        while heap:
            now, node = heapq.heappop(heap)
            if node == want.dst:
                return now
            if settled[node]:
                continue
            settled[node] = 1
            first = bisect_left(self.starts[node], now - self.SHORT_S)
            for start, end, other in chain(self.long[node], islice(self.short[node], first, None)):
                if end > now and start <= upto and not settled[other]:
                    at = start if start > now else now
                    if at < best.get(other, NEVER):
                        best[other] = at
                        heapq.heappush(heap, (at, other))
                        if other == want.dst:
                            upto = at
                elif start > upto and end - start <= self.SHORT_S:
                    break
        return None


def check_plan(
    contacts: Sequence[Contact],
    wanted: Sequence[Wanted],
    plans: Sequence[Sequence[Transfer]],
    rate: float,
    buffer: int | None,
) -> None:
    """That a plan can be carried out by real radios and stores."""
    together: dict[tuple[int, int], list[Contact]] = {}
    for contact in contacts:
        together.setdefault((contact.a, contact.b), []).append(contact)
    busy: dict[int, list[tuple[float, float]]] = {}
    stored: dict[int, list[tuple[float, int]]] = {}
    for want, plan in zip(wanted, plans, strict=True):
        if not plan:
            continue
        assert [plan[0].src, plan[-1].dst] == [want.src, want.dst]
        assert plan[0].start >= want.created
        assert plan[-1].end <= want.created + want.ttl
        for transfer, onward in zip(plan, [*plan[1:], None], strict=True):
            start, end, a, b = transfer
            assert end == start + (want.size / rate if rate else 0)
            pair = together[min(a, b), max(a, b)]
            assert any(each.start <= start < each.end and end <= each.end for each in pair)
            for node in (a, b):
                busy.setdefault(node, []).append((start, end))
            if onward:
                assert onward.src == b and onward.start >= end
            stored.setdefault(b, []).append((start, want.size))
            stored[b].append((onward.end if onward else end, -want.size))
    for transfers in busy.values():
        transfers.sort()
        for before, after in pairwise(transfers):
            assert before[1] <= after[0]
    for changes in stored.values():
        held = 0
        for _, change in sorted(changes):
            held += change
            assert buffer is None or held <= max(buffer, 0)


# --- small worlds -------------------------------------------------------------------------------

# Few distinct times, so that things happen at the same instant: contacts that touch, chains at
# one moment, creation and expiry at the moment of a contact's beginning or end.
moments = st.integers(0, 12)


@st.composite
def worlds(draw: st.DrawFn, sizes: int = 1) -> tuple[list[Contact], list[Wanted], int]:
    """Contacts (of one pair too, overlapping), deliveries, and how many nodes."""
    nodes = draw(st.integers(2, 7))
    pairs = [(a, b) for b in range(nodes) for a in range(b)]
    contacts = [
        Contact(start, start + draw(st.integers(1, 5)), *draw(st.sampled_from(pairs)))
        for start in draw(st.lists(moments, max_size=25))
    ]
    wanted = []
    for created in draw(st.lists(moments, max_size=8)):
        src, dst = draw(st.sampled_from(pairs))
        if draw(st.booleans()):
            src, dst = dst, src
        wanted.append(
            Wanted(created, src, dst, draw(st.integers(1, sizes)), draw(st.integers(0, 12)))
        )
    return contacts, wanted, nodes


@settings(max_examples=600, deadline=None)
@given(world=worlds())
def test_the_limit_is_that_of_another_program(
    world: tuple[list[Contact], list[Wanted], int],
) -> None:
    """Arrival, hops of an earliest way and fewest hops of every delivery in small worlds."""
    contacts, wanted, nodes = world
    found = oracle.limit(contacts, wanted, nodes)
    expected = [by_hops(contacts, want) for want in wanted]
    assert list(zip(found.arrived, found.hops, found.fewest, strict=True)) == expected
    assert found.transmissions == sum(hops or 0 for _, hops, _ in expected)
    others = LabelSetting(contacts, nodes)
    assert found.arrived == [others.arrival(want) for want in wanted]


@pytest.mark.parametrize(
    ("contacts", "wanted", "arrived", "hops", "fewest"),
    [
        pytest.param([(0, 9, 0, 1)], (9, 0, 1, 1, 9), None, None, None, id="end is no contact"),
        pytest.param([(5, 9, 0, 1)], (2, 0, 1, 1, 3), 5, 1, 1, id="expires at the meeting"),
        pytest.param([(5, 9, 0, 1)], (2, 0, 1, 1, 2.9), None, None, None, id="expired before"),
        pytest.param(
            [(0, 5, 0, 1), (5, 9, 1, 2)], (0, 0, 2, 1, 9), 5, 2, 2, id="carried over no gap"
        ),
        pytest.param([(0, 5, 1, 2), (5, 9, 0, 1)], (0, 0, 2, 1, 9), None, None, None, id="late"),
        pytest.param(
            [(4, 5, 2, 3), (4, 5, 1, 2), (4, 5, 0, 1)], (0, 0, 3, 1, 9), 4, 3, 3, id="chain"
        ),
        pytest.param(
            [(1, 2, 0, 1), (2, 3, 1, 2), (7, 8, 0, 2)], (0, 0, 2, 1, 9), 2, 2, 1, id="or wait"
        ),
        pytest.param([(0, 9, 0, 1), (3, 5, 0, 1)], (6, 0, 1, 1, 1), 6, 1, 1, id="two ways open"),
        pytest.param([], (3, 1, 1, 1, 1), 3, 0, 0, id="to itself"),
    ],
)
def test_the_limit_where_it_is_known(
    contacts: list[tuple[float, float, int, int]],
    wanted: tuple[float, int, int, int, float],
    arrived: float | None,
    hops: int | None,
    fewest: int | None,
) -> None:
    """Cases that can be read off."""
    found = oracle.limit([Contact(*each) for each in contacts], [Wanted(*wanted)], 4)
    assert (found.arrived, found.hops, found.fewest) == ([arrived], [hops], [fewest])


def test_nothing_gives_nothing() -> None:
    """No contacts, no deliveries, no nodes."""
    assert oracle.limit([], [], 0) == oracle.Outcome([], [], 0, [])
    assert oracle.clairvoyant([], [], 0, 1, 1) == oracle.Outcome([], [], 0)
    alone = [Wanted(0, 0, 1, 1, 1)]
    assert oracle.limit([], alone, 2) == oracle.Outcome([None], [None], 0, [None])
    assert oracle.clairvoyant([], alone, 2, 1, 1) == oracle.Outcome([None], [None], 0)


# --- the clairvoyant plan -----------------------------------------------------------------------


@settings(max_examples=400, deadline=None)
@given(
    world=worlds(sizes=6),
    rate=st.sampled_from([0, 1, 2, 4]),
    buffer=st.none() | st.integers(0, 12),
)
def test_plans_can_be_carried_out(
    world: tuple[list[Contact], list[Wanted], int], rate: float, buffer: int | None
) -> None:
    """Nobody in two transfers at once, inside contacts, within buffers, no earlier than light."""
    contacts, wanted, nodes = world
    plans = schedule(contacts, wanted, nodes, rate, buffer)
    check_plan(contacts, wanted, plans, rate, buffer)
    found = oracle.clairvoyant(contacts, wanted, nodes, rate, buffer)
    assert found.arrived == [plan[-1].end if plan else None for plan in plans]
    assert found.hops == [len(plan) or None for plan in plans]
    assert found.transmissions == sum(map(len, plans))
    for at, bound in zip(found.arrived, oracle.limit(contacts, wanted, nodes).arrived, strict=True):
        assert at is None or (bound is not None and bound <= at)


@settings(max_examples=300, deadline=None)
@given(world=worlds(sizes=6), rate=st.sampled_from([1, 2, 4]))
def test_the_first_plan_is_the_earliest_possible(
    world: tuple[list[Contact], list[Wanted], int], rate: float
) -> None:
    """Whoever is planned before all others has the whole air."""
    contacts, wanted, nodes = world
    for want in wanted:
        arrived = oracle.clairvoyant(contacts, [want], nodes, rate, None).arrived
        assert arrived == [by_hops(contacts, want, want.size / rate)[0]]


@settings(deadline=None)
@given(world=worlds(sizes=6))
def test_without_bounds_the_plan_is_the_limit(
    world: tuple[list[Contact], list[Wanted], int],
) -> None:
    """Transfers that take no time do not stand in each other's way."""
    contacts, wanted, nodes = world
    found = oracle.clairvoyant(contacts, wanted, nodes, 0, None)
    assert found.arrived == oracle.limit(contacts, wanted, nodes).arrived


def test_rates_may_differ_by_contact() -> None:
    """One rate for each contact, in the order of the contacts."""
    contacts = [Contact(5, 20, 0, 2), Contact(0, 9, 0, 1), Contact(0, 9, 1, 2)]
    wanted = [Wanted(0, 0, 2, 8, 20)]
    assert oracle.clairvoyant(contacts, wanted, 3, [4, 2, 2], None).arrived == [7]
    assert oracle.clairvoyant(contacts, wanted, 3, [1, 2, 2], None).arrived == [8]


def test_a_full_carrier_takes_more_when_it_has_room() -> None:
    """The second message waits until the first has left the carrier, in the same contact."""
    contacts = [Contact(0, 40, 0, 1), Contact(10, 12, 1, 2), Contact(30, 40, 1, 3)]
    wanted = [Wanted(0, 0, 2, 2, 99), Wanted(1, 0, 3, 2, 99)]
    plans = schedule(contacts, wanted, 4, 1, 3)
    assert plans[0] == [(0, 2, 0, 1), (10, 12, 1, 2)]
    assert plans[1] == [(12, 14, 0, 1), (30, 32, 1, 3)]
    assert schedule(contacts, wanted, 4, 1, None)[1] == [(2, 4, 0, 1), (30, 32, 1, 3)]
    assert schedule(contacts, wanted, 4, 1, 1) == [[], []]


def test_one_transfer_at_a_time() -> None:
    """A node that sends to one neighbour does not send to another one meanwhile."""
    contacts = [Contact(0, 9, 0, 1), Contact(0, 9, 0, 2), Contact(0, 9, 3, 4)]
    wanted = [Wanted(0, 0, 1, 3, 99), Wanted(0, 2, 0, 3, 99), Wanted(0, 3, 4, 3, 99)]
    assert oracle.clairvoyant(contacts, wanted, 5, 1, None).arrived == [3, 6, 3]


# --- figures ------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.lists(st.floats(0, 1_000), min_size=2, max_size=50))
def test_percentiles_are_interpolated(delays: list[float]) -> None:
    """The rule of the standard library's inclusive quantiles."""
    wanted = [Wanted(0, 0, 1, 1, 1_000)] * len(delays)
    found = oracle.figures(delays, wanted, [1] * len(delays), len(delays))["delay_s"]
    cuts = quantiles(delays, n=100, method="inclusive")
    expected = [cuts[part - 1] for part in (10, 50, 90, 99)]
    assert list(found) == ["p10", "p50", "p90", "p99"]
    assert list(found.values()) == pytest.approx(expected)


def test_figures_of_a_run() -> None:
    """What is late is not delivered, and waits its whole time to live as what is lost does."""
    wanted = [Wanted(100, 0, 1, 1, 50)] * 4
    assert oracle.figures([110, 150, 150.5, None], wanted, [1, None, 9, None], 12) == {
        "delivered": 2,
        "delivery_ratio": 0.5,
        "delay_s": {"p10": 14.0, "p50": 30.0, "p90": 46.0, "p99": pytest.approx(49.6)},
        "mean_wait_s": (10 + 50 + 50 + 50) / 4,
        "hops_mean": 1.0,
        "hops_max": 1,
        "transmissions": 12,
        "overhead_ratio": 5.0,
    }


def test_figures_of_nothing_are_none() -> None:
    """Nothing wanted, or nothing delivered: no number is made up."""
    delay = dict.fromkeys(("p10", "p50", "p90", "p99"))
    nothing = {
        "delivered": 0,
        "delivery_ratio": None,
        "delay_s": delay,
        "mean_wait_s": None,
        "hops_mean": None,
        "hops_max": None,
        "transmissions": 0,
        "overhead_ratio": None,
    }
    assert oracle.figures([], [], [], 0) == nothing
    lost = oracle.figures([None], [Wanted(0, 0, 1, 1, 60)], [None], 7)
    assert lost == nothing | {"delivery_ratio": 0, "mean_wait_s": 60, "transmissions": 7}


# --- recorded traces ----------------------------------------------------------------------------

# Delivered, delay p10 p50 p90 p99 and mean wait in hours, hops of earliest ways mean and most,
# fewest hops mean: as another program found them (the design study, table C1), which has one hop
# more than the fewest in all of conf17.
LIMITS = {
    "hs13": (0.822, 1.67, 11.00, 20.22, 23.27, 13.28, 5.53, 16, 3.33),
    "hosp10": (0.479, 0.77, 8.71, 20.26, 23.64, 17.03, 2.76, 7, 1.66),
    "conf17": (0.793, 0.21, 3.81, 17.54, 23.00, 10.30, 4.38, 20, 1.71),
    "museum09": (0.294, 0.44, 2.06, 3.47, 3.95, 3.41, 4.58, 11, 3.07),
    "crowd500": (0.883, 0.00, 0.92, 2.35, 3.53, 1.42, 5.10, 37, 2.11),
}
# Delivered, and mean wait in hours (C2); what is chosen among equal ways makes a difference.
PLANS = {
    "hs13": (0.730, 15.25),
    "hosp10": (0.474, 17.21),
    "conf17": (0.784, 10.67),
    "museum09": (0.250, 3.52),
}
HOPS_SAMPLE = 4  # deliveries of a trace whose hops are counted again; the rest is for small worlds
CROWD_SAMPLE = 100  # of the synthetic crowd's deliveries are set labels for; of the others all


def rounded(value: float | None) -> float:
    assert value is not None
    return value / 3600


@NEEDS_TRACES
@pytest.mark.timeout(400)  # half a minute of CPU on a machine that may be busy
@pytest.mark.parametrize("name", NAMES)
def test_the_limit_of_recorded_traces(name: str) -> None:
    """Arrivals are those of label setting, for both workloads; the figures are those known."""
    trace = read_contacts(contacts_of(name))
    text, wanted = (read_workload(workload_of(name, kind), trace) for kind in ("text", "media"))
    found = oracle.limit(trace.contacts, wanted, trace.nodes)
    # The limit knows no sizes, and these workloads differ in nothing else.
    assert [want._replace(size=1) for want in text] == [want._replace(size=1) for want in wanted]
    other = LabelSetting(trace.contacts, trace.nodes)
    numbers = range(len(wanted))
    chosen = random.Random(5).sample(numbers, CROWD_SAMPLE) if name == "crowd500" else numbers
    for which in chosen:
        assert found.arrived[which] == other.arrival(wanted[which]), which
    for which in random.Random(7).sample(numbers, HOPS_SAMPLE):
        want = wanted[which]
        near = [
            each
            for each in trace.contacts
            if each.end > want.created and each.start <= want.created + want.ttl
        ]
        expected = by_hops(near, want)
        assert (found.arrived[which], found.hops[which], found.fewest[which]) == expected
    figures = oracle.figures(found.arrived, wanted, found.hops, found.transmissions)
    fewest = [hops for hops in found.fewest if hops is not None]
    hours = [rounded(value) for value in (*figures["delay_s"].values(), figures["mean_wait_s"])]
    mean = sum(fewest) / len(fewest)
    assert (figures["delivery_ratio"], figures["hops_max"]) == (LIMITS[name][0], LIMITS[name][7])
    assert [*hours, figures["hops_mean"], mean] == pytest.approx(
        [*LIMITS[name][1:7], LIMITS[name][8]], abs=0.006
    )


@NEEDS_TRACES
@pytest.mark.timeout(400)  # half a minute of CPU on a machine that may be busy
@pytest.mark.parametrize("name", PLANS)
def test_plans_for_recorded_traces(name: str) -> None:
    """Big messages: the plan can be carried out, and delivers what another planner's does."""
    trace = read_contacts(contacts_of(name))
    wanted = read_workload(workload_of(name, "media"), trace)
    plans = schedule(trace.contacts, wanted, trace.nodes, 12_000, 5_000_000)
    check_plan(trace.contacts, wanted, plans, 12_000, 5_000_000)
    arrived = [plan[-1].end if plan else None for plan in plans]
    figures = oracle.figures(arrived, wanted, [len(plan) or None for plan in plans], 0)
    assert figures["delivery_ratio"] == pytest.approx(PLANS[name][0], abs=0.005)
    assert rounded(figures["mean_wait_s"]) == pytest.approx(PLANS[name][1], abs=0.05)
