"""Whom to dial and when, with a clock that only the test moves."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshchat.net.candidates import (
    ADDRESSES_MAX,
    BACKOFF_MAX_S,
    BACKOFFS_MAX,
    CANDIDATES_MAX,
    DIALS_MAX,
    GATHER_S,
    LASTED_S,
    PER_HOST_MAX,
    YIELD_S,
    Address,
    Candidates,
    Retry,
)

OWN = b"\x80" + bytes(15)
HIGH = b"\xff" + bytes(15)  # greater than ours: we dial at once
LOW = b"\x01" + bytes(15)  # smaller: they dial first
HERE = Address("10.0.0.2", 4000)


def table() -> Candidates:
    """A fresh table of the node ``OWN``."""
    made = Candidates(Random(1))
    made.restart(OWN)
    return made


def sid(n: int) -> bytes:
    """A session id greater than ours."""
    return b"\xf0" + n.to_bytes(15, "big")


def host(n: int) -> str:
    """A distinct IPv4 address."""
    return f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}"


def test_smaller_session_dials_at_once_the_other_later() -> None:
    """Both sides would dial in the end, so one open side is enough; but not at the same time."""
    for other, earliest, latest in ((HIGH, 0.0, GATHER_S), (LOW, YIELD_S, YIELD_S + GATHER_S)):
        found = table()
        assert found.heard(other, HERE, 100.0)
        due = found.next_at()
        assert due is not None
        assert 100 + earliest <= due <= 100 + latest
        assert found.due(due - 0.001, 8) == []
        assert found.due(due, 8) == [(other, (HERE,))]


def test_own_beacon_is_no_candidate() -> None:
    """Neither our beacon nor our mDNS name makes us dial ourselves."""
    found = table()
    assert not found.heard(OWN, HERE, 0.0)
    found.named(OWN, [HERE], 0.0)
    assert len(found) == 0
    assert found.knows(OWN)


def test_linked_session_is_not_dialled_again() -> None:
    """While a link with a session id is open it is left alone; afterwards it is dialled again."""
    found = table()
    found.heard(HIGH, HERE, 0.0)
    found.due(1.0, 8)
    found.dialled(HIGH, 1.0, linked=True)
    found.link_up(1, HIGH, HERE, 1.0, ours=True)
    found.heard(HIGH, Address("fe80::2", 4000, 2), 2.0)
    assert found.due(50.0, 8) == []
    assert found.next_at() is None
    found.heard(HIGH, HERE, 50.0)
    found.link_down(1, 50.0)
    assert [plan.sid for plan in found.due(52.0, 8)] == [HIGH]


@pytest.mark.parametrize("ours", [True, False])
def test_renewed_session_of_a_linked_neighbour_is_not_dialled(ours: bool) -> None:
    """A neighbour whose addresses changed goes on under its old link, whoever dialled."""
    found = table()
    found.heard(HIGH, HERE, 0.0)
    found.link_up(1, HIGH, HERE if ours else Address(HERE.host, 0), 1.0, ours=ours)
    found.heard(sid(7), HERE, 2.0)
    assert found.due(60.0, 8) == []
    assert found.is_linked(HERE)
    found.link_down(1, 60.0)
    found.heard(sid(7), HERE, 60.0)
    assert sid(7) in [plan.sid for plan in found.due(80.0, 8)]


def test_listener_of_an_inbound_link_is_learned_from_the_beacon() -> None:
    """They dialled us first and are heard later: still one and the same."""
    found = table()
    found.link_up(1, HIGH, Address(HERE.host, 0), 0.0, ours=False)
    assert not found.is_linked(HERE)
    found.heard(HIGH, HERE, 1.0)
    assert found.is_linked(HERE)


def test_foreign_host_cannot_claim_a_linked_listener() -> None:
    """Saying that a linked session id is elsewhere does not keep us from dialling that place."""
    found = table()
    found.link_up(1, HIGH, Address("10.0.0.66", 0), 0.0, ours=False)
    found.heard(HIGH, HERE, 1.0)  # the liar's session, told with a victim's address
    found.heard(sid(1), HERE, 1.0)
    assert [plan.sid for plan in found.due(5.0, 8)] == [sid(1)]


@pytest.mark.parametrize("before", [True, False])
def test_evil_twin_leaves_the_true_address_in_the_plan(before: bool) -> None:
    """A forged mDNS address is tried too, after the one a beacon came from, never instead:
    whichever was first."""
    found = table()
    forged = [Address("10.0.0.66", n) for n in range(1, 40)]
    if before:
        found.named(HIGH, forged, 0.0)
    found.heard(HIGH, HERE, 0.0)
    if not before:
        found.named(HIGH, forged, 0.0)
    (plan,) = found.due(1.0, 8)
    assert plan.addresses[0] == HERE
    assert len(plan.addresses) == ADDRESSES_MAX


def test_back_off_doubles_to_five_minutes_and_ends_with_a_move() -> None:
    """Per address 1 s, 2 s ... 300 s (± 20 %); a change of our own addresses forgets it."""
    found, now, waits = table(), 0.0, []
    for _ in range(12):
        found.heard(HIGH, HERE, now)
        due = found.next_at()
        assert due is not None
        now = max(now, due)
        found.heard(HIGH, HERE, now)
        assert found.due(now, 8)
        found.failed(HERE, now)
        found.dialled(HIGH, now, linked=False)
        following = found.next_at()
        assert following is not None
        waits.append(following - now)
    for wait, expected in zip(waits, [min(300, 2**n) for n in range(12)], strict=True):
        assert 0.8 * expected <= wait <= 1.2 * expected
    found.restart(OWN)
    found.heard(HIGH, HERE, now)
    assert found.due(now + 1, 8)


def test_short_links_count_as_failures_and_long_ones_do_not() -> None:
    """Somebody who accepts and hangs up is backed off from; a lasting link starts afresh."""
    found = table()
    for now in (0.0, 100.0, 200.0):
        found.heard(HIGH, HERE, now)
        found.link_up(1, HIGH, HERE, now, ours=True)
        found.link_down(1, now + 1)
    due = found.next_at()
    assert due is not None
    assert due - 201 >= 3
    found.link_up(2, HIGH, HERE, 210.0, ours=True)
    found.link_down(2, 210 + LASTED_S)
    due = found.next_at()
    assert due is not None
    assert due <= 210 + LASTED_S + GATHER_S


def test_duplicate_is_not_dialled_again_soon() -> None:
    """After "you are linked with me already" the address rests for five minutes."""
    found = table()
    found.heard(HIGH, HERE, 0.0)
    found.link_up(1, HIGH, HERE, 0.0, ours=True)
    found.link_down(1, 1.0, duplicate=True)
    due = found.next_at()
    assert due is not None
    assert due >= 0.8 * BACKOFF_MAX_S


def test_duplicate_beside_a_known_link_costs_nothing_later() -> None:
    """Both sides dialled at once; when the link that stayed is lost, we dial again soon."""
    found = table()
    found.heard(HIGH, HERE, 0.0)
    found.link_up(1, HIGH, Address(HERE.host, 0), 0.0, ours=False)
    found.link_up(2, HIGH, HERE, 0.0, ours=True)
    found.link_down(2, 0.1, duplicate=True)
    assert found.next_at() is None
    found.link_down(1, 5.0)
    due = found.next_at()
    assert due is not None
    assert due <= 5.0 + 1.2


def test_at_most_eight_dials_and_no_more_than_there_is_room() -> None:
    """A flood of candidates never starts more than eight dials."""
    found = table()
    for n in range(100):
        found.heard(sid(n), Address(host(n), 1), 0.0)
    assert len(found.due(1.0, 3)) == 3
    assert len(found.due(1.0, 100)) == DIALS_MAX - 3
    assert found.due(1.0, 100) == []
    assert found.next_at() is None
    assert found.due(1.0, -1) == []


def test_who_is_heard_is_dialled_before_mere_names() -> None:
    """Forged names wait behind those whose datagrams arrive."""
    found = table()
    for n in range(200):
        found.named(sid(n), [Address(host(n), 1)], 0.0)
    found.heard(HIGH, HERE, 0.0)
    assert found.due(1.0, 1)[0].sid == HIGH


def test_silence_ends_presence_after_seventeen_seconds() -> None:
    """A killed neighbour is gone 17.5 s after its last beacon, and new when it speaks again."""
    found = table()
    assert found.heard(HIGH, HERE, 0.0)
    assert not found.heard(HIGH, HERE, 5.0)
    assert found.present(22.4) == [HIGH]
    assert found.present(22.6) == []
    found.forget(22.6)
    assert len(found) == 0
    assert found.heard(HIGH, HERE, 23.0)


def test_period_grows_with_the_crowd() -> None:
    """Up to 50 neighbours five seconds, then a second more for every ten."""
    found = table()
    for n in range(200):
        found.heard(sid(n), Address(host(n), 1), 0.0)
        assert found.period_s() == max(5.0, (n + 1) / 10)
    assert found.silence_s() == pytest.approx(70.0)


def test_names_end_after_three_failures_or_when_taken_back() -> None:
    """mDNS never says reliably that somebody left, so failing to connect does."""
    found, now = table(), 0.0
    found.named(HIGH, [HERE], now)
    assert found.named_only() == 1
    for _ in range(3):
        now = found.next_at() or now
        assert found.due(now, 8)
        found.failed(HERE, now)
        found.dialled(HIGH, now, linked=False)
    found.forget(now)
    assert len(found) == 0
    found.named(HIGH, [HERE], now)
    found.unnamed(HIGH)
    found.forget(now)
    assert len(found) == 0


def test_forged_goodbye_does_not_remove_who_is_heard() -> None:
    """A goodbye by mDNS leaves presence by beacon alone."""
    found = table()
    found.named(HIGH, [HERE], 0.0)
    found.heard(HIGH, HERE, 0.0)
    found.unnamed(HIGH)
    found.forget(1.0)
    assert found.present(1.0) == [HIGH]


def test_flood_from_one_host_costs_only_its_own_entries() -> None:
    """Session ids of one address displace each other, not somebody else's."""
    found = table()
    found.heard(HIGH, HERE, 0.0)
    for n in range(5000):
        found.heard(sid(n), Address("10.0.0.66", 1 + n), 1.0)
    assert len(found) == PER_HOST_MAX + 1
    assert HIGH in found.present(1.0)


def test_flood_never_displaces_a_linked_candidate() -> None:
    """With 5000 forged hosts the table stays at its limit and keeps those with links."""
    found = table()
    found.heard(HIGH, HERE, 0.0)
    found.link_up(1, HIGH, HERE, 0.0, ours=True)
    for n in range(5000):
        found.named(sid(n), [Address(host(n), 1)], 1.0)
    assert len(found) == CANDIDATES_MAX
    assert HIGH in found.present(1.0)


actions = st.lists(
    st.tuples(st.sampled_from("hnudfL"), st.integers(0, 400), st.floats(0, 3)), max_size=150
)


@given(actions)
def test_any_history_keeps_the_bounds(history: list[tuple[str, int, float]]) -> None:
    """Whatever happens in whatever order, nothing grows past its limit or is dialled twice."""
    found, now, link, dialling = table(), 0.0, 0, set()
    for action, n, step in history:
        now += step
        address = Address(host(n % 37), 1 + n)
        if action == "h":
            found.heard(sid(n), address, now)
        elif action == "n":
            found.named(sid(n), [address, Address(host(n), 9)], now)
        elif action == "u":
            found.unnamed(sid(n))
        elif action == "f":
            found.forget(now)
        elif action == "L":
            link += 1
            found.link_up(link, sid(n), address, now, ours=bool(n % 2))
            if link > 3:
                found.link_down(link - 3, now, duplicate=n % 5 == 0)
        elif action == "d":
            for plan in found.due(now, 4):
                assert plan.addresses
                assert plan.sid not in dialling
                dialling.add(plan.sid)
            if n % 2:
                for done in sorted(dialling):
                    found.failed(address, now)
                    found.dialled(done, now, linked=False)
                dialling.clear()
        assert len(found) <= CANDIDATES_MAX
        assert len(dialling) <= DIALS_MAX or n % 2 == 0


def test_failing_addresses_are_remembered_up_to_a_limit() -> None:
    """Back-off memory is bounded."""
    found = table()
    for n in range(3 * BACKOFFS_MAX):
        found.failed(Address(host(n), 1), 0.0)
    assert len(found._failing) == BACKOFFS_MAX


def test_static_retry_is_jittered_doubling_and_without_end() -> None:
    """1 s to 10 min, ± 25 %, and again from 1 s after a reset."""
    retry = Retry(Random(3))
    for expected in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600, 600]:
        assert 0.75 * expected <= retry.next_s() <= 1.25 * expected
    retry.reset()
    assert retry.next_s() <= 1.25
