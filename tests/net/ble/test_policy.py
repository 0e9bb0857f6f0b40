"""Whom to dial, whom to let go, and what that costs: policies in virtual time."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from radios import Room

from meshchat.core.model import Now
from meshchat.net.ble.actions import Close, Dial, Rotate
from meshchat.net.ble.duty import Profile
from meshchat.net.ble.limits import (
    BACKOFFS_MAX,
    DIAL_S,
    ELSEWHERE_MAX,
    FLOOR_DBM,
    IDLE_S,
    LINKS_HARD_MAX,
    LINKS_MAX,
    LINKS_WANTED,
    LOOK_S,
    SAVER_EVERY_S,
    SIGHTINGS_MAX,
    STRANGERS_MAX,
    SUSPENDED_S,
    TOKEN_LIFE_S,
    TOKEN_LINKED_LIFE_S,
    YIELD_JITTER_S,
    YIELD_S,
)
from meshchat.net.ble.policy import Policy

SPENDING = st.sampled_from(list(Profile))


def pair(profile: Profile = Profile.ALWAYS, seed: int = 1) -> Room:
    room = Room(seed)
    room.add(profile)
    room.add(profile)
    return room


# --- finding each other --------------------------------------------------------------------------


@settings(deadline=None)
@given(seed=st.integers(0, 10_000))
def test_at_full_duty_two_are_linked_within_three_seconds(seed: int) -> None:
    room = pair(seed=seed)
    assert room.run(3, lambda: room.linked(*room.radios)) < 3
    assert room.crossings == 0


@given(seed=st.integers(0, 10_000), count=st.integers(2, 12))
@settings(max_examples=15, deadline=None)
def test_a_room_comes_together_and_then_rests(seed: int, count: int) -> None:
    """Everybody can reach everybody, nobody has too many links, and the dialling ends."""
    room = Room(seed)
    for _ in range(count):
        room.add()
    assert room.run(60, room.connected) < 60

    def settled() -> bool:
        few = min(LINKS_WANTED, count - 1)
        return all(few <= len(r.links) <= STRANGERS_MAX for r in room.radios)

    assert room.run(250, settled) < 250
    assert room.connected()
    assert all(r.most <= LINKS_HARD_MAX for r in room.radios)
    dials = sum(r.dials for r in room.radios)
    # Both dialled once in a while who had waited long: less than one in fifty in a crowd.
    assert room.crossings <= (dials > 20)
    room.run(2 * LOOK_S)
    assert sum(r.dials for r in room.radios) - dials <= 6 * count


@given(seed=st.integers(0, 10_000), profiles=st.lists(SPENDING, min_size=2, max_size=6))
@settings(max_examples=15, deadline=None)
def test_all_profiles_meet_within_a_quarter_of_an_hour(seed: int, profiles: list[Profile]) -> None:
    """Savers listen at the same minutes by the clock, others all the time."""
    room = Room(seed)
    for profile in profiles:
        room.add(profile)
    met = []
    for _ in range(2 * int(SAVER_EVERY_S)):
        room.run(1)
        met.append(room.connected())
    assert any(met)


@given(
    seed=st.integers(0, 10_000),
    failure=st.sampled_from([0.0, 0.3, 0.7]),
    deaf=st.sets(st.integers(0, 3)),
)
@settings(max_examples=40, deadline=None)
def test_failing_dials_and_deaf_radios_only_delay(
    seed: int, failure: float, deaf: set[int]
) -> None:
    """Whoever is not deaf dials in the end, with the greater token too; crossings are survived."""
    room = Room(seed, failure)
    for n in range(4):
        room.add().deaf = n in deaf and n != 0
    assert room.run(1_200, room.connected) < 1_200


@given(
    seed=st.integers(0, 10_000),
    steps=st.lists(
        st.tuples(st.sampled_from(["off", "on", "part", "join", "wait"]), st.integers(0, 19)),
        max_size=30,
    ),
)
@settings(max_examples=40, deadline=None)
def test_whatever_happened_before_all_come_together(
    seed: int, steps: list[tuple[str, int]]
) -> None:
    """Radios go off and on, come into reach and leave; then two minutes of peace are enough."""
    room = Room(seed)
    for _ in range(5):
        room.add()
    for step, number in steps:
        one, other = room.radios[number % 5], room.radios[(number + 1 + number // 5) % 5]
        if step in ("off", "on"):
            if one.on is not (step == "on"):
                room.switch(one, step == "on")
        elif step == "part" and one is not other:
            room.part(one, other)
        elif step == "join":
            room.parted.discard(frozenset((one.name, other.name)))
        else:
            room.run(number)
        assert all(len(radio.links) <= LINKS_HARD_MAX for radio in room.radios)
    room.parted.clear()
    for radio in room.radios:
        if not radio.on:
            room.switch(radio, True)
    assert room.run(120, room.connected) < 120


def test_the_lower_token_dials() -> None:
    """Both hear each other; one dials, at once, and the other does not."""
    for seed in range(20):
        room = pair(seed=seed)
        room.run(5)
        low, high = sorted(room.radios, key=lambda radio: radio.policy.token)
        assert (low.dials, high.dials) == (1, 0)


def test_an_inbound_link_is_recognised_before_its_peer_is_dialled() -> None:
    """Its advert is heard on and on; nobody dials it while it is linked."""
    room = pair()
    room.run(100)
    assert sum(radio.dials for radio in room.radios) == 1


def test_a_peer_without_token_is_dialled_after_a_moment() -> None:
    room = Room()
    radio = room.add()
    radio.tell(radio.policy.seen(b"", "mac", -50, room.now))
    room.run(3.1)
    assert radio.dial == Dial("mac", b"")


def test_weak_adverts_are_for_the_lonely() -> None:
    room = Room()
    one, other, far = room.add(), room.add(), room.add(on=False)
    room.weak = {frozenset((n, far.name)): FLOOR_DBM - 5 for n in (0, 1)}
    room.run(5)
    assert room.linked(one, other)
    far.deaf = True
    room.switch(far, True)
    room.run(60)
    assert not far.links
    room.part(one, other)
    assert room.run(60, lambda: bool(far.links)) < 60


def test_back_off_doubles_with_jitter() -> None:
    """Somebody who is heard but never answers costs less and less."""
    room = Room()
    radio, ghost = room.add(), room.add()
    ghost.deaf = True
    room.failure = 1.0
    times = []
    last = 0
    for _ in range(3_000):
        room.run(0.2)
        if radio.dials > last:
            last = radio.dials
            times.append(room.mono)
    gaps = [b - a for a, b in pairwise(times)]
    assert gaps[0] < DIAL_S + 10 and gaps[-1] > DIAL_S + 90
    assert len(times) < 14


@pytest.mark.parametrize("reason", ["turned_away", "duplicate"])
def test_who_does_not_want_us_is_left_alone_for_two_minutes(reason: str) -> None:
    room = pair()
    room.run(5)
    dials = sum(radio.dials for radio in room.radios)
    (link,) = room.radios[0].links
    room.unlink(link, reason, None)
    room.run(90)
    assert sum(radio.dials for radio in room.radios) == dials
    assert room.run(60, lambda: room.linked(*room.radios)) < 60


def test_who_is_linked_better_elsewhere_is_left_alone_until_that_ends() -> None:
    """Both are on one LAN too: the second link of the pair ends, and nobody dials until the first
    does, or for as long as a token lives without links."""
    room = pair()
    one, other = room.radios
    room.run(5)
    (link,) = one.links
    room.spare(link, kept=1_000)
    dials = one.dials + other.dials
    room.run(500)
    assert one.dials + other.dials == dials
    for radio in (one, other):
        radio.tell(radio.policy.other_down(1_000, room.now))
    assert room.run(30, lambda: room.linked(one, other)) < 30
    (link,) = one.links
    room.spare(link, kept=1_001)
    room.run(TOKEN_LIFE_S * 1.3)  # one of them has another token, and is somebody new
    assert one.dials + other.dials >= dials + 2


def test_another_link_ending_elsewhere_changes_nothing() -> None:
    room = pair()
    one, other = room.radios
    room.run(5)
    room.spare(next(iter(one.links)), kept=1_000)
    dials = one.dials + other.dials
    for radio in (one, other):
        radio.tell(radio.policy.other_down(999, room.now))
    room.run(300)
    assert one.dials + other.dials == dials


def test_peers_linked_elsewhere_are_bounded() -> None:
    """However many links a core reports, and whatever token they claim."""
    room = Room()
    policy = room.add().policy
    for number in range(1_000):
        policy.inbound(number, room.now)
        policy.greeted(number, number.to_bytes(6, "big"), room.now)
        policy.link_down(number, "duplicate", room.now, kept=10_000 + number)
    assert len(policy._elsewhere) <= ELSEWHERE_MAX


def test_a_failed_dial_needs_a_fresh_advert() -> None:
    """Somebody heard once who left: one dial, and no more into the void."""
    room = Room()
    radio = room.add()
    radio.tell(radio.policy.seen(b"\xff" * 6, "gone", -50, room.now))
    room.run(300)
    assert radio.dials == 1


# --- places --------------------------------------------------------------------------------------


def test_eight_silent_peers_free_their_slots_within_half_a_minute() -> None:
    """Attack 46: they hold every slot, bring nothing, and come again; the newcomer gets in."""
    room = Room()
    victim = room.add()
    victim.deaf = True
    attackers = [room.add() for _ in range(LINKS_HARD_MAX)]
    for one in attackers:
        one.mute = True
        for other in attackers:
            if one is not other:
                room.parted.add(frozenset((one.name, other.name)))
    room.run(20, lambda: len(victim.links) == LINKS_HARD_MAX)
    assert len(victim.links) == LINKS_HARD_MAX
    room.run(IDLE_S + 1)
    assert len(victim.links) <= STRANGERS_MAX
    honest = room.add()
    for one in attackers:
        room.parted.add(frozenset((one.name, honest.name)))
    assert room.run(60, lambda: room.linked(victim, honest)) < 60


def test_the_least_useful_goes_and_contacts_stay() -> None:
    room = Room()
    me = room.add()
    me.deaf = True
    others = [room.add() for _ in range(LINKS_MAX + 2)]
    for one in others:
        for other in others:
            room.parted.add(frozenset((one.name, other.name)))
    room.run(25, lambda: len(me.links) == LINKS_HARD_MAX)
    numbers = list(me.links)
    assert len(numbers) == LINKS_HARD_MAX
    contacts, useful, useless = numbers[-2:], numbers[1:5], [numbers[0], numbers[5]]
    for link in contacts:
        me.tell(me.policy.recognised(link, room.now))
    for link in useful:
        me.policy.brought(link, 5_000, room.now)
    room.run(IDLE_S)
    assert not set(useless) & set(me.links)
    assert set(useful + contacts) <= set(me.links)
    assert me.policy.turned_away == 2


def test_a_ninth_is_turned_away_at_once() -> None:
    room = Room()
    me = room.add()
    for link in range(LINKS_HARD_MAX + 3):
        me.links[link] = me
        me.tell(me.policy.inbound(link, room.now))
    assert len(me.links) == LINKS_HARD_MAX
    assert me.advert.token is None  # nobody else need try


# --- storms --------------------------------------------------------------------------------------


def test_who_is_being_dialled_has_a_place() -> None:
    """Others come in while a dial is under way: with what it brings there are eight, not nine."""
    room = Room()
    radio = room.add()
    for link in range(1, LINKS_WANTED):
        radio.policy.inbound(link, room.now)
    actions = radio.policy.seen(b"target", "target", -50, room.now)
    room.run(YIELD_S + YIELD_JITTER_S)
    actions += radio.policy.seen(b"target", "target", -50, room.now)
    assert radio.policy._dialling is not None
    for link in range(LINKS_WANTED, LINKS_HARD_MAX):
        assert not any(isinstance(a, Close) for a in radio.policy.inbound(link, room.now))
    assert Close(50, "turned_away") in radio.policy.inbound(50, room.now)
    radio.policy.dialled(51, room.now)
    assert radio.policy.links == LINKS_HARD_MAX


def test_an_advert_storm_is_bounded_and_the_honest_peer_is_found() -> None:
    """10,000 tokens: a table's worth is kept, listening is cut short, wake-ups stay bounded."""
    quiet = Room()
    lonely = quiet.add(Profile.NORMAL)
    quiet.run(1_200)

    room = Room()
    radio, honest = room.add(Profile.NORMAL), room.add(Profile.NORMAL)
    honest.deaf = True
    room.switch(honest, False)
    for _ in range(12_000):
        room.storm(radio, 30)
        room.run(0.1)
    assert len(radio.policy._sightings) <= SIGHTINGS_MAX
    assert len(radio.policy._sightings._failing) <= BACKOFFS_MAX
    assert radio.wakes + radio.switches <= 3 * (lonely.wakes + lonely.switches)
    assert radio.scan_s + radio.dial_s <= 3 * lonely.scan_s  # connecting is listening too
    room.switch(honest, True)
    honest.deaf = False
    assert room.run(600, lambda: room.linked(radio, honest)) < 600


@pytest.mark.parametrize("profile", list(Profile))
def test_a_storm_does_not_grow_memory_in_any_profile(profile: Profile) -> None:
    room = Room()
    radio = room.add(profile)
    room.run(1)
    for n in range(2_000):
        token = room.random.randbytes(6)
        radio.tell(radio.policy.seen(token, token, -50, room.now))
        if n % 100 == 0:
            room.run(1)
    assert len(radio.policy._sightings) <= SIGHTINGS_MAX


# --- names on the air ----------------------------------------------------------------------------


def test_no_token_comes_twice() -> None:
    """Nothing of one epoch is seen in the next; epochs do not last one fixed time."""
    room = Room()
    radio = room.add()
    room.run(10 * TOKEN_LIFE_S)
    assert 7 <= len(radio.tokens) <= 14
    assert len(set(radio.tokens)) == len(radio.tokens)


def test_a_link_ends_with_its_tokens_and_comes_back() -> None:
    """Radio.Rotate asserts that no link is left; within an hour or so it comes to that."""
    room = pair()
    room.run(TOKEN_LINKED_LIFE_S * 1.3)
    assert room.ended["rotating"] >= 1
    assert all(2 <= len(radio.tokens) <= 4 for radio in room.radios)
    room.run(20)
    assert room.linked(*room.radios)


def test_a_machine_that_slept_has_another_token() -> None:
    """Its monotonic clock stood still. A clock that was put right by seconds changes nothing."""
    room = pair()
    one, other = room.radios
    room.run(5)
    room.wall += SUSPENDED_S - 1
    room.run(20)
    assert len(one.tokens) == len(other.tokens) == 1
    room.wall += 3_600
    room.run(20)
    assert len(one.tokens) == len(other.tokens) == 2
    assert room.run(20, lambda: room.linked(one, other)) < 20


def test_an_adapter_that_comes_back_has_another_token() -> None:
    room = pair()
    one, other = room.radios
    room.run(5)
    room.switch(one, False)
    assert one.policy.next_wakeup(room.now) is None
    assert not other.links
    room.run(60)
    room.switch(one, True)
    assert len(one.tokens) == 2
    room.run(20)
    assert room.linked(one, other)


# --- power ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("profile", "links", "low", "high"),
    [
        (Profile.ALWAYS, 0, 0.95, 1.0),
        (Profile.ALWAYS, 1, 0.30, 0.37),
        (Profile.NORMAL, 0, 0.09, 0.11),
        (Profile.NORMAL, 1, 0.06, 0.08),
        (Profile.SAVER, 0, 0.03, 0.06),
    ],
)
def test_duty_of_a_day(profile: Profile, links: int, low: float, high: float) -> None:
    room = Room()
    radio = room.add(profile)
    if links:
        room.add(profile)
    day = 4 * 3_600.0
    room.run(day)
    scanned = radio.scan_s + (room.mono - radio.scan_since if radio.scans else 0)
    assert low <= scanned / day <= high


def test_savers_listen_at_the_same_minutes() -> None:
    """Started at any time, they are linked in the next quarter of an hour, and sleep between."""
    for start in range(0, 900, 100):
        room = Room(wall=1_790_000_000.0 + start)
        room.add(Profile.SAVER)
        room.run(37)
        room.add(Profile.SAVER)
        one, other = room.radios
        assert room.run(SAVER_EVERY_S, one.has_links) < SAVER_EVERY_S
        room.run(130)
        assert not one.links and not other.links and room.ended["asleep"] == 1


def test_battery_decides_for_normal_only() -> None:
    room = Room()
    now = room.now
    policy = Policy(room.random, now, Profile.NORMAL, battery=None)
    policy.adapter(True, now)
    assert policy.spends is Profile.ALWAYS
    for level, spends in [
        (0.9, Profile.NORMAL),
        (0.25, Profile.NORMAL),
        (0.15, Profile.SAVER),
        (0.25, Profile.SAVER),
        (0.35, Profile.NORMAL),
    ]:
        policy.power(level, now)
        assert policy.spends is spends
    policy.choose(Profile.SAVER, now)
    policy.power(None, now)
    assert policy.spends is Profile.SAVER


# --- anything in any order -----------------------------------------------------------------------


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_order_of_events_keeps_the_bounds(data: st.DataObject) -> None:
    """Also answers nobody asked for and links never heard of: nothing raises, nothing grows."""
    room = Room(data.draw(st.integers(0, 1_000)))
    policy = Policy(room.random, room.now)
    now = room.now
    known = data.draw(st.lists(st.binary(min_size=6, max_size=6), min_size=1, max_size=5))
    dialling = False
    for _ in range(data.draw(st.integers(1, 80))):
        now = Now(now.mono + data.draw(st.sampled_from([0.0, 0.5, 40.0, 1_000.0])), now.wall)
        link = data.draw(st.integers(0, 12))
        token = data.draw(st.sampled_from([b"", b"bad", *known]))
        calls = (
            (policy.seen, token, b"at" + token, -70, now),
            (policy.inbound, link, now),
            (policy.dialled, link, now),
            (policy.dial_failed, now),
            (policy.greeted, link, token, now),
            (policy.recognised, link, now),
            (policy.link_down, link, "lost", now),
            (policy.adapter, link % 3 > 0, now),
            (policy.wake, now),
        )
        call, *arguments = data.draw(st.sampled_from(calls))
        actions = call(*arguments)
        for action in actions:
            if isinstance(action, Dial):
                assert not dialling or policy._dialling is not None
            if isinstance(action, Rotate):
                assert len(action.token) == 6
        due = policy.next_wakeup(now)
        assert due is None or due >= now.mono
        assert policy.links <= 13
