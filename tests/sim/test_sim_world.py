"""The world: virtual time, real nodes, links that behave as the radio says, faults, determinism."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshchat.core.limits import Limits
from meshchat.errors import StoreError, UsageError
from meshchat.net.ble.duty import Profile
from meshchat.sim.links import Radio
from meshchat.sim.measure import KINDS
from meshchat.sim.ways import Change, Contact, Wanted, changes
from meshchat.sim.world import World

HOUR_S = 3_600.0
CONTACTS = [Contact(20, 60, 0, 2), Contact(100, 200, 1, 2), Contact(300, 400, 0, 2)]


@pytest.fixture(autouse=True)
def carries_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Worlds of three people: whoever could carry a file does, whatever the draw."""
    monkeypatch.setattr("meshchat.core.relay.SHARE_FIRST", 1.0)


def carrier_world(seed: int = 1, fast: bool = False) -> World:
    """A meets C, later C meets B, later A meets C again; A wrote to B at the start."""
    world = World(seed=seed, fast=fast)
    for name in ("A", "B", "C"):
        world.person(name)
    world.send(Wanted(10, 0, 1, 500, 6 * HOUR_S))
    world.send(Wanted(12, 0, 1, 90_000, 6 * HOUR_S))
    world.follow(changes(CONTACTS))
    world.run(until=HOUR_S)
    return world


def test_what_is_offered_is_held_once_for_all() -> None:
    """Ids on the shelves of a world are numbers of one pool; who crashes lets go of them."""
    world = carrier_world(fast=True)
    pool = world.id_pool
    shelves = [person.node._neighbours._transfers.shelf for person in world.people]
    for shelf in shelves:
        assert shelf.everything() <= pool.numbers.keys()
    assert max(pool.shelves) == len(world.people)
    world.people[0].crash()
    assert max(pool.shelves) == len(world.people)  # it has read its store again
    for person in world.people:
        person._ids.clear()
    assert not pool.numbers


def test_a_stranger_carries_text_and_file() -> None:
    """Both arrive over two hops, the sender learns it, and every byte has its kind."""
    world = carrier_world()
    measure = world.measure
    assert [at is not None and 100 < at < 150 for at in measure.delivered_at] == [True, True]
    assert measure.hops == [2, 2]
    assert measure.transmissions == pytest.approx(4)  # two messages, two hops, pieces as fractions
    assert measure.untrue() == (0, 0) and not measure.duplicates_shown and not measure.refused
    sizes = dict(zip(KINDS, measure.bytes, strict=True))
    assert sizes["payload"] > 2 * 90_500
    assert all(sizes[kind] for kind in ("sync", "handshake", "proofs", "padding"))
    assert not sizes["keepalive"]  # a supervised link needs none
    assert sum(measure.sent) == sum(measure.received) == sum(measure.bytes)
    a, b = world.people[:2]
    assert [str(m.state) for m in a.store.messages(b"c" + b.fp)] == ["delivered", "delivered"]
    told = [m.id for m in b.store.messages(b"c" + a.fp) if m.text.startswith("[file")]
    assert [len(b.store.file(mid) or b"") for mid in told] == [90_000]


def test_same_seed_same_trace() -> None:
    """The trace hash repeats with the seed and differs with another."""
    one, same, other = carrier_world(1), carrier_world(1), carrier_world(2)
    assert one.trace_hash == same.trace_hash != other.trace_hash
    assert one.events == same.events


def test_same_trace_in_other_processes() -> None:
    """String hashing and the process do not matter; a run that was killed is simply run again."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]);"
        "from meshchat.core import relay; relay.SHARE_FIRST = 1.0;"
        "from test_sim_world import carrier_world; print(carrier_world().trace_hash)"
    )
    for hash_seed in ("0", "77"):
        out = subprocess.run(
            [sys.executable, "-c", program, str(Path(__file__).parent)],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert out.stdout.strip() == carrier_world().trace_hash


def test_golden_trace() -> None:
    """The hash of one small run, written down: it changes only when behaviour does, and never
    with the machine or the Python version. (Renew it with a change of node or wire.)"""
    world = carrier_world(7)
    golden = (Path(__file__).parent / "golden_trace.txt").read_text("ascii").split()
    assert [world.trace_hash, str(world.events)] == golden


def test_rebuilt_nodes_go_on_as_if_nothing_had_been() -> None:
    """Crashing every node between contacts loses nothing and delivers at the same instants."""
    plain = carrier_world()
    world = World(seed=1)
    for name in ("A", "B", "C"):
        world.person(name)
    world.send(Wanted(10, 0, 1, 500, 6 * HOUR_S))
    world.send(Wanted(12, 0, 1, 90_000, 6 * HOUR_S))
    world.follow(changes(CONTACTS))
    for at in (15.0, 80.0, 220.0, 250.0):
        for person in world.people:
            world.at(at, person.crash)
    world.run(until=HOUR_S)
    assert world.measure.delivered_at == pytest.approx(plain.measure.delivered_at, abs=0.01)
    assert world.measure.untrue() == (0, 0) and not world.measure.duplicates_shown


def test_a_crash_in_the_middle_of_a_transfer_resumes() -> None:
    """The reader is rebuilt every 5 s while a file comes in: whole pieces are not sent again."""
    world = World(seed=3)
    a, b = world.person("A"), world.person("B")
    world.send(Wanted(1, 0, 1, 300_000, HOUR_S))
    world.meet(a, b)
    for turn in range(1, 8):
        world.at(5.0 * turn, b.crash)
    world.run(until=600)
    assert world.measure.delivered == 1
    assert sum(world.measure.bytes) < 600_000  # not seven times over


# --- links --------------------------------------------------------------------------------------


def talk(radio: Radio, size: int = 6_000, seconds: float = 600.0, **more: object) -> World:
    """Two people in reach of each other; one writes."""
    world = World(seed=5, radios={"sim": radio}, **more)  # type: ignore[arg-type]
    a, b = world.person("A"), world.person("B")
    world.acquaint(a, b)
    world.meet(a, b)
    world.run(60)
    world.send(Wanted(world.now, 0, 1, size, HOUR_S))
    world.run(seconds)
    return world


def waited(world: World) -> float:
    """Seconds until the first message was there."""
    at = world.measure.delivered_at[0]
    assert at is not None
    return at - world.measure.wishes[0].created


def test_rate_and_latency_are_what_the_radio_says() -> None:
    """8,192 bytes of envelope at 1,000 bytes a second; a slow path adds its round trips."""
    assert 8.2 < waited(talk(Radio(rate=1_000.0))) < 11
    assert waited(talk(Radio(rate=0.0))) == 0
    quick, slow = (
        waited(talk(Radio(rate=0.0, latency_s=0.01))),
        waited(talk(Radio(rate=0.0, latency_s=0.5))),
    )
    assert slow == pytest.approx(50 * quick)


def test_loss_costs_air_and_nothing_else() -> None:
    """Half of all packets lost: about twice the time, the same bytes, no duplicate."""
    clean, lossy = talk(Radio(rate=1_000.0)), talk(Radio(rate=1_000.0, loss=0.5))
    assert 1.5 < waited(lossy) / waited(clean) < 3
    assert lossy.measure.delivered == 1 and not lossy.measure.duplicates_shown


def test_discovery_setup_and_failure_delay_the_link() -> None:
    """Nobody talks before they have noticed each other, and failed attempts are tried again."""
    world = World(seed=1, radios={"sim": Radio(discovery_s=(30, 30), setup_s=5.0)})
    a, b = world.person(), world.person()
    world.meet(a, b)
    world.run(34.9)
    assert not a.links
    world.run(0.2)
    assert a.links and b.links
    unlucky = World(seed=1, radios={"sim": Radio(failure=0.9, retry_s=1.0)})
    one, other = unlucky.person(), unlucky.person()
    unlucky.meet(one, other)
    unlucky.run(HOUR_S)
    assert one.links and unlucky.measure.failed > 0


def test_links_are_limited_and_a_free_place_is_used() -> None:
    """A node with room for two links has two, and takes the next when one goes."""
    world = World(seed=1, radios={"sim": Radio(links_max=2)})
    hub, *others = [world.person() for _ in range(5)]
    for other in others:
        world.meet(hub, other)
    world.run(10)
    assert len(hub.links) == 2
    linked = [other for other in others if other.links]
    world.part(hub, linked[0])
    world.run(300)
    assert len(hub.links) == 2 and not linked[0].links


def test_one_radio_shares_its_air() -> None:
    """Two neighbours fed by one radio take twice as long as by two."""

    def spent(shared: bool) -> float:
        world = World(seed=1, radios={"sim": Radio(rate=10_000.0, shared=shared)})
        hub, a, b = (world.person() for _ in range(3))
        world.meet(hub, a)
        world.meet(hub, b)
        world.run(30)
        for dst in (1, 2):
            world.send(Wanted(world.now, 0, dst, 200_000, HOUR_S))
        world.run(300)
        assert world.measure.delivered == 2
        return max(at or 0.0 for at in world.measure.delivered_at) - 30

    apart, together = spent(False), spent(True)
    assert together > 1.5 * apart


def test_a_cut_in_the_middle_of_a_frame_loses_that_frame_only() -> None:
    """What was whole before the cut counts; the file goes on where it was in the next contact."""
    world = World(seed=1, radios={"sim": Radio(rate=10_000.0)})
    a, b = world.person(), world.person()
    world.acquaint(a, b)
    world.send(Wanted(1, 0, 1, 150_000, HOUR_S))
    for _ in range(10):  # 4 s carry 40,000 bytes: never the whole file
        world.meet(a, b, seconds=4)
        world.run(60)
    assert world.measure.delivered == 1
    payload = world.measure.bytes[KINDS.index("payload")]
    assert payload < 1.15 * 160_000


def test_silence_is_found_out_where_nobody_tells() -> None:
    """On a LAN a cut is noticed by the missing answers after 15 s; a supervised link tells."""
    for supervised, noticed_s in ((True, 0.0), (False, 15.0)):
        world = World(seed=1, radios={"sim": Radio(supervised=supervised)})
        a, b = world.person(), world.person()
        world.meet(a, b, seconds=60)
        world.run(0.5)
        assert bool(a.node.status(a.clock).neighbours) is not supervised
        world.run(noticed_s + 6)
        assert not a.node.status(a.clock).neighbours
        assert not b.node.status(b.clock).neighbours


# --- what befalls people --------------------------------------------------------------------------


def test_a_full_disk_refuses_and_recovers() -> None:
    """Nothing is confirmed that was not stored; the node comes back when there is room."""
    world = World(seed=1)
    a, b = world.person(), world.person()
    world.acquaint(a, b)
    a.disk_full(True)
    with pytest.raises(StoreError):
        a.say(b, "lost?")
    with pytest.raises(StoreError):
        a.say(b, "still full")
    assert not a.texts(b)
    a.disk_full(False)
    world.run(10)
    message = a.say(b, "now it fits")
    world.meet(a, b, seconds=30)
    assert b.texts(a) == ["now it fits"] and a.state(message) == "delivered"


def test_off_on_and_seized() -> None:
    """A device that is off takes no part; on again it has everything; seized it stays off."""
    world = World(seed=1)
    a, b = world.person(), world.person()
    world.acquaint(a, b)
    message = a.say(b, "hello")
    b.off()
    world.meet(a, b)
    world.run(60)
    assert a.state(message) == "queued" and not a.links
    with pytest.raises(UsageError):
        b.say(a, "cannot")
    b.on()
    world.run(60)
    assert a.state(message) == "delivered" and b.texts(a) == ["hello"]
    b.seize()
    b.on()
    assert not b.awake and not a.links


def test_jamming_breaks_links_until_it_ends() -> None:
    """Two jammers on the same radio: the way is back when both are gone."""
    world = World(seed=1)
    a, b = world.person(), world.person()
    world.meet(a, b)
    world.run(10)
    a.jam(True)
    a.jam(True, "sim")
    assert not a.links and not b.links
    a.jam(False)
    world.run(10)
    assert not a.links
    a.jam(False, "sim")
    world.run(10)
    assert a.links and b.links


def test_conduct_of_others() -> None:
    """The selfish carry nothing; a black hole takes mail and never gives it."""
    for conduct, carried in (("honest", 1), ("selfish", 0), ("black_hole", 0)):
        world = World(seed=1)
        a, b = world.person(), world.person()
        world.acquaint(a, b)
        stranger = world.person(conduct=conduct)  # type: ignore[arg-type]
        message = a.say(b, "carry me")
        world.meet(a, stranger, seconds=30)
        assert a.state(message) == ("queued" if conduct == "selfish" else "carried")
        world.meet(stranger, b, seconds=30)
        assert len(b.texts(a)) == carried


def test_a_wrong_clock_is_one_persons_own() -> None:
    """Hours off, messages still pass both ways and times shown are each device's own."""
    world = World(seed=1)
    a, b = world.person(), world.person()
    world.acquaint(a, b)
    a.clock_off(-5 * HOUR_S)
    world.meet(a, b)
    a.say(b, "from the past")
    b.say(a, "from now")
    world.run(30)
    assert sorted(b.texts(a)) == sorted(a.texts(b)) == ["from now", "from the past"]


def test_rooms_reach_every_member() -> None:
    """A post is wanted by everybody in the room, and counted for each."""
    world = World(seed=1)
    people = [world.person() for _ in range(4)]
    for person in people[:3]:
        world.join(person, "market")
    world.post(5, 0, "market", 200, HOUR_S)
    for one in people:
        for other in people[one.number + 1 :]:
            world.meet(one, other)
    world.run(600)
    assert world.measure.created == world.measure.delivered == 2


def test_limits_of_a_person() -> None:
    """A tester may give each person limits of their own."""
    world = World(seed=1)
    tiny = world.person(limits=Limits(store_bytes=4_096))
    assert tiny.node.status(tiny.clock).custody.quota_bytes == 4_096


steps = st.lists(
    st.one_of(
        st.tuples(st.just("meet"), st.integers(0, 3), st.integers(0, 3)),
        st.tuples(st.just("part"), st.integers(0, 3), st.integers(0, 3)),
        st.tuples(st.just("crash"), st.integers(0, 3), st.just(0)),
        st.tuples(st.just("off"), st.integers(0, 3), st.just(0)),
        st.tuples(st.just("on"), st.integers(0, 3), st.just(0)),
        st.tuples(st.just("say"), st.integers(0, 3), st.integers(0, 3)),
        st.tuples(st.just("jam"), st.integers(0, 3), st.booleans()),
        st.tuples(st.just("full"), st.integers(0, 3), st.booleans()),
        st.tuples(st.just("wait"), st.sampled_from([1, 20, 700]), st.just(0)),
    ),
    max_size=40,
)
RADIOS = st.sampled_from(
    [
        Radio(),
        Radio(shared=True, links_max=3, loss=0.3, failure=0.3, latency_s=0.05),
        Radio(supervised=False, discovery_s=(0.0, 3.0), mtu=512),
        Radio(profile=Profile.ALWAYS, mtu=5_501, failure=0.2, setup_s=0.5),
    ]
)


@settings(max_examples=40, deadline=None)
@given(steps, RADIOS)
def test_whatever_happens(what: list[tuple[str, int, int]], radio: Radio) -> None:
    """Any order of meetings, crashes, jams and full disks: nothing confirmed is lost or shown
    twice, no node counts an error of another, and in the end everybody meets and has it all."""
    world = World(seed=9, radios={"sim": radio})
    people = [world.person() for _ in range(4)]
    for one in people:
        for other in people[one.number + 1 :]:
            world.acquaint(one, other)
    said: list[tuple[int, int, bytes]] = []
    jams = [0] * 4
    for step, first, second in what:
        person, other = people[first % 4], people[second % 4]
        if step == "meet" and person is not other:
            world.meet(person, other)
        elif step == "part" and person is not other:
            world.part(person, other)
        elif step == "crash":
            person.crash()
        elif step in ("off", "on"):
            getattr(person, step)()
        elif step == "jam" and bool(second) is not bool(jams[first]):
            jams[first] = int(second)
            person.jam(bool(second))
        elif step == "full":
            person.disk_full(bool(second))
        elif step == "say" and person is not other and person.awake:
            try:
                said.append((first, second, person.say(other, f"no. {len(said)}").id))
            except StoreError:
                continue
        elif step == "wait":
            world.run(first)
    for person in people:
        person.disk_full(False)
        person.on()
        if jams[person.number]:
            person.jam(False)
    world.run(30)
    for one in people:
        for other in people[one.number + 1 :]:
            world.meet(one, other)
    world.run(1_500)
    for src, dst, mid in said:
        assert people[dst].store.message(mid) is not None
        message = people[src].store.message(mid)
        assert message is not None and message.state == "delivered"
    for person in people:
        counters = person.node.status(person.clock).counters
        harmless = ("links_", "envelopes_stored", "refused_unwanted", "resume_", "link_timeout")
        assert not [name for name in counters if not name.startswith(harmless)]


def test_changes_are_read_lazily_and_in_order() -> None:
    """A stream without end is followed only as far as time has come."""
    read: list[float] = []

    def endless():  # type: ignore[no-untyped-def]
        at = 0.0
        while True:
            at += 10
            read.append(at)
            yield Change(at, at % 20 == 10, 0, 1, "sim")

    world = World(seed=1)
    world.person()
    world.person()
    world.follow(endless())
    world.run(until=95)
    assert read[-1] == 100 and world.measure.linked == 5


def test_two_radios_keep_one_link() -> None:
    """In reach over two radios, two people use one, and the other at once when that one ends."""
    world = World(seed=1, radios={"ble": Radio(), "lan": Radio(rate=1e6)})
    a, b = world.person(), world.person()
    world.meet(a, b, way="ble")
    world.meet(a, b, way="lan")
    world.run(HOUR_S)
    assert world.measure.linked == 2 and len(a.links) == len(b.links) == 1
    used = next(iter(a.links.values())).name
    world.part(a, b, way=used)
    world.run(60)
    assert len(a.links) == 1 and next(iter(a.links.values())).name != used


def test_days_of_failing_attempts() -> None:
    """Two nodes that can never connect go on trying, more and more rarely, for weeks."""
    world = World(seed=1, radios={"sim": Radio(failure=1.0, retry_s=1.0)})
    world.meet(world.person(), world.person())
    world.run(30 * 86_400)
    assert 20_000 < world.measure.failed < 22_000
