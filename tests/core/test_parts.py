"""What chunks say on the outside, who carries them, and in which order they move."""

from collections import Counter

import pytest
from filetool import chunks, content, friends_and_carrier, give, now_of, whole
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mallory import Mallory, have, junk
from test_node import send
from world import Host, World

from meshchat.core import link as wire_link
from meshchat.core.custody import Custody
from meshchat.core.envelope import (
    CLASS_SIZES,
    envelope_id,
    is_part,
    open_sealed,
    parse_header,
    part_of,
    seal,
)
from meshchat.core.events import AddContact, Wake
from meshchat.core.limits import BULK_OPEN_MAX, DECLINED_KEYS_MAX, DECLINED_REMEMBERED_MAX, Limits
from meshchat.core.model import Fate, Partial, State, class_of, contact_chat, hint_of
from meshchat.core.relay import (
    FRESH_S,
    MET_MAX,
    NOVELTY_ALL,
    SHARE_FIRST,
    SHARE_MIN,
    UNION_MIN,
    Relay,
)
from meshchat.core.shelf import BULK_RANK, Shelf
from meshchat.core.transfers import Serving
from meshchat.core.wire import (
    PROOF_HINT,
    Refusal,
    read_offers,
    read_refusals,
    write_offers,
    write_refusals,
)
from meshchat.errors import WireError

KEY = bytes(range(32))


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def three(world: World) -> tuple[Host, Host, Host]:
    """Aida and Bolat are friends; a stranger carries."""
    return friends_and_carrier(world)


def eid(number: int) -> bytes:
    return number.to_bytes(16, "big")


def part(pieces_bits: int, tag: int = 1) -> int:
    return pieces_bits << 11 | tag


def hint(pieces_bits: int, tag: int = 1, size_class: int = 3) -> int:
    return size_class << 14 | part(pieces_bits, tag)


def counters(host: Host) -> Counter[str]:
    return Counter(host.node.status(host.world.now).counters)


def refusals(mallory: Mallory) -> list[tuple[bytes, int]]:
    return [each for body in mallory.bodies(wire_link.REFUSED) for each in read_refusals(body)]


def offered(mallory: Mallory) -> list[tuple[bytes, int]]:
    return [each for body in mallory.bodies(wire_link.HAVE) for each in read_offers(body)]


def relay_of(host: Host) -> Relay:
    return host.node._neighbours._transfers.relay


def envelopes(host: Host, *eids: bytes) -> list[bytes]:
    held = [host.store.envelope(each) for each in eids]
    assert all(held)
    return [each.data for each in held if each]


@pytest.fixture
def carries_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The share of every node is nothing at all."""
    monkeypatch.setattr(Relay, "carries", lambda _, one: one == PROOF_HINT or class_of(one) < 2)


# --- flags and hints -----------------------------------------------------------------------------


@given(pieces=st.integers(1, 64), tag=st.integers(0, 2**16 - 1), size_class=st.integers(0, 3))
def test_a_part_comes_back_as_it_went(pieces: int, tag: int, size_class: int) -> None:
    """Sealed, read from outside, opened, and offered: the same part; of small classes none."""
    entropy = iter(range(1, 9))
    data = seal(
        lambda _: b"x",
        b"x",
        500_000,
        bytes(16),
        size_class=size_class,
        part=part_of(pieces, tag),
        want_proof=True,
        entropy=type("", (), {"bytes": lambda _, n: bytes([next(entropy)]) * n})(),
        long_term_secret=KEY,
        counter=1,
        secret=KEY,
    )
    flags = int.from_bytes(data[2:4], "little")
    bits = next(bits for bits in range(7) if pieces <= 1 << bits)
    assert flags == (bits << 11 | tag & 2_047 if size_class >= 2 else 0)
    header = parse_header(data)
    assert (header.part, header.size_class) == (flags, size_class)
    assert open_sealed(data, secrets=[KEY], prekeys=[]) is not None
    ours = hint_of(size_class, data)
    assert ours == size_class << 14 | flags
    assert read_offers(write_offers([(eid(1), ours)])) == [(eid(1), ours)]
    forged = data[:2] + (flags ^ 1).to_bytes(2, "little") + data[4:]
    assert envelope_id(forged) != envelope_id(data), "the flags are in the id"
    if size_class >= 2:
        assert open_sealed(forged, secrets=[KEY], prekeys=[]) is None, "and authenticated"


@given(size_class=st.integers(0, 3), flags=st.integers(0, 2**16 - 1))
def test_flags_and_hints_are_strict(size_class: int, flags: int) -> None:
    """Small classes are parts of nothing, and nothing has more than 64 pieces: dropped."""
    good = flags == 0 or (size_class >= 2 and flags >> 11 <= 6)
    data = bytes((1, size_class)) + flags.to_bytes(2, "little")
    data += bytes(CLASS_SIZES[size_class] - len(data))
    if good:
        assert parse_header(data).part == flags
    else:
        with pytest.raises(WireError, match="envelope flags"):
            parse_header(data)
    if flags < 1 << 14:
        assert is_part(flags) is (flags >> 11 <= 6)
        one = size_class << 14 | flags
        body = eid(1) + one.to_bytes(2, "little")
        if good or one == PROOF_HINT:
            assert read_offers(body) == [(eid(1), one)]
        else:
            with pytest.raises(WireError, match="offer hint"):
                read_offers(body)


def test_all_flags_of_the_edges() -> None:
    """What chance may miss: seven bits of pieces, and the hint beside a proof's."""
    for flags in (7 << 11, 7 << 11 | 2_047, 1 << 14, 1 << 15):
        data = b"\x01\x03" + flags.to_bytes(2, "little") + bytes(32_764)
        with pytest.raises(WireError):
            parse_header(data)
    for one in (0xFFFE, 0xF800, 0xB800, 0xBFFF, 1, 0x4001):
        with pytest.raises(WireError):
            read_offers(eid(1) + one.to_bytes(2, "little"))


@pytest.mark.usefixtures("carries_all")
def test_a_wrong_hint_or_flag_on_a_link(world: World) -> None:
    """A hint that cannot be ends the link; flags that cannot be are never stored."""
    a = world.host("Aida")
    mallory = Mallory(world)
    mallory.dial(a)
    bad = junk(1, world, 3, part=part(7))
    mallory.stock[envelope_id(bad)] = bad
    mallory.say(have(envelope_id(bad), hint=hint(6)))
    world.run(1)
    assert a.store.envelope(envelope_id(bad)) is None and counters(a)["envelope_flags"] == 1
    mallory.hang_up()
    mallory.dial(a)
    mallory.say((wire_link.HAVE, eid(1) + b"\x00\xf8"))
    assert counters(a)["offer_hint"] == 1 and not a.links


@pytest.mark.usefixtures("carries_all")
def test_a_lie_about_a_part_is_not_passed_on(world: World) -> None:
    """Offered as one thing, it is offered on as what it is."""
    a = world.host("Aida")
    mallory, other = Mallory(world, "Liar"), Mallory(world, "Other")
    mallory.dial(a)
    data = junk(1, world, 3, part=part(5, 77))
    mallory.stock[envelope_id(data)] = data
    mallory.say(have(envelope_id(data), hint=hint(1, 3, 2)))
    world.run(1)
    other.dial(a)
    assert offered(other) == [(envelope_id(data), hint(5, 77))]


def test_chunks_of_a_file_say_the_same(world: World, three: tuple[Host, Host, Host]) -> None:
    """Three chunks: four pieces and one tag on the two large ones, nothing on the small one."""
    a, b, _ = three
    message = give(a, b, content(whole(2) + 9))
    parts = [parse_header(data).part for data in envelopes(a, *chunks(a, message))]
    assert parts[0] == parts[1] and parts[0] >> 11 == 2 and parts[2] == 0
    again = give(a, b, content(whole(2) + 9), name="same.pdf")
    assert parse_header(envelopes(a, chunks(a, again)[0])[0]).part != parts[0]


# --- what a node carries -------------------------------------------------------------------------


def fall(relay: Relay, meetings: int = 500) -> Relay:
    for _ in range(meetings):
        relay.met(0, 1_000)
    return relay


def test_share_follows_novelty() -> None:
    """It falls where all is known, never below the least, and rises again where mail is new."""
    relay = Relay(KEY)
    for _ in range(50):
        relay.met(0, UNION_MIN - 1)
    assert relay.share == SHARE_FIRST, "a few envelopes say nothing"
    shares = []
    for _ in range(60):
        relay.met(0, 1_000)
        shares.append(relay.share)
    assert shares == sorted(shares, reverse=True) and shares[0] < SHARE_FIRST
    assert shares[-1] == SHARE_MIN
    fall(relay)
    for _ in range(10):  # few meetings with new people are enough
        relay.met(1_000, 1_000)
    assert relay.share == 1.0
    for _ in range(200):
        relay.met(NOVELTY_ALL * 500, 1_000)  # type: ignore[arg-type]
    assert relay.share == pytest.approx(0.5, abs=0.01)


@given(st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 2**20)), max_size=80))
def test_nobodys_claims_press_the_share_out_of_bounds(meetings: list[tuple[int, int]]) -> None:
    """Whatever counts come of hostile meetings; and a few envelopes say nothing."""
    relay = Relay(KEY)
    for new, union in meetings:
        before = relay.share
        relay.met(new, union)
        assert SHARE_MIN <= relay.share <= 1.0
        assert union >= UNION_MIN or relay.share == before


def test_a_share_of_files_and_of_each_all_or_nothing() -> None:
    """About the share of all tags, and one answer for every chunk, whatever its class."""
    relay = fall(Relay(KEY))
    kept = [tag for tag in range(2_048) if relay.carries(hint(3, tag))]
    assert 0.8 * SHARE_MIN < len(kept) / 2_048 < 1.2 * SHARE_MIN
    for tag in range(2_048):
        answers = {relay.carries(hint(3, tag, of)) for of in (2, 3) for _ in range(2)}
        assert answers == {tag in kept}
    assert all(relay.carries(of << 14) for of in (0, 1)) and relay.carries(0x4000)
    restarted = fall(Relay(KEY))
    assert [tag for tag in range(2_048) if restarted.carries(hint(3, tag))] == kept
    other = fall(Relay(bytes(32)))
    theirs = [tag for tag in range(2_048) if other.carries(hint(3, tag))]
    assert theirs != kept and len(set(theirs) & set(kept)) < len(kept) / 2
    first = {tag for tag in range(2_048) if Relay(KEY).carries(hint(3, tag))}
    assert set(kept) < first and 0.9 * SHARE_FIRST < len(first) / 2_048 < 1.1 * SHARE_FIRST
    rising = Relay(KEY)
    for _ in range(10):
        rising.met(1_000, 1_000)
    assert all(rising.carries(hint(3, tag)) for tag in range(2_048)), "at a share of one"
    for _ in range(5):
        relay.met(100, 1_000)
        assert set(kept) <= {tag for tag in range(2_048) if relay.carries(hint(3, tag))}


@settings(max_examples=50)
@given(
    tag=st.integers(0, 2_047),
    bits=st.integers(0, 6),
    meetings=st.lists(st.integers(0, 1_000), max_size=40),
)
def test_one_answer_for_all_of_a_file(tag: int, bits: int, meetings: list[int]) -> None:
    """At any share: the chunks of one file are carried together or not at all."""
    relay = Relay(KEY)
    for new in meetings:
        relay.met(new, 1_000)
    assert relay.carries(hint(bits, tag, 2)) == relay.carries(hint(bits, tag, 3))


def test_hostile_numbers_of_node_keys_are_bounded() -> None:
    """Keys cost nothing: what is remembered of meetings is bounded, whoever was met last stays."""
    relay = Relay(KEY)
    assert relay.meets(b"friend", 0.0)
    for n in range(5 * MET_MAX):
        assert relay.meets(eid(n), n / 100)
        if n % 100 == 0:
            assert not relay.meets(b"friend", n / 100)
    assert len(relay._met) <= MET_MAX
    for tag in range(2_048):
        for bits in range(7):
            fall(relay, 1).carries(hint(bits, tag))
    assert len(relay._places) <= 2_048


def test_a_meeting_is_fresh_once_an_hour() -> None:
    """Whoever comes and goes does not count again and again."""
    relay = Relay(KEY)
    assert relay.meets(b"x", 0.0)
    assert not relay.meets(b"x", FRESH_S)
    assert not relay.meets(b"x", FRESH_S + 10), "each meeting begins the hour anew"
    assert relay.meets(b"x", 2 * FRESH_S + 11)


def test_novelty_is_of_small_mail_of_fresh_meetings(world: World) -> None:
    """All new: the share rises. Nothing new an hour later: it falls, on both sides."""
    a, b, giver = world.host("Aida"), world.host("Bolat"), Mallory(world)
    giver.dial(a)
    giver.give(*(junk(n, world) for n in range(40)))
    world.run(2)
    giver.hang_up()
    before = relay_of(a)._novelty, relay_of(b)._novelty
    world.meet(a, b)
    world.settle()
    after = relay_of(a)._novelty, relay_of(b)._novelty
    assert after[0] > before[0] and after[1] > before[1]
    world.meet(a, b)
    world.settle()
    assert (relay_of(a)._novelty, relay_of(b)._novelty) == after, "not an hour yet"
    world.run(FRESH_S + 60)
    world.meet(a, b)
    world.settle()
    assert relay_of(a)._novelty < after[0] and relay_of(b)._novelty < after[1]


def test_liars_who_know_all_do_not_silence_a_node(world: World) -> None:
    """A crowd of new keys that claims to have everything: the least share is still carried."""
    a = world.host("Aida", Limits(handshakes_per_window=1_000))
    ids = [envelope_id(junk(n, world)) for n in range(40)]
    giver = Mallory(world)
    giver.dial(a)
    giver.give(*(junk(n, world) for n in range(40)))
    world.run(2)
    giver.hang_up()
    for n in range(60):
        liar = Mallory(world, f"Liar {n}")
        liar.dial(a)
        liar.say(liar.next(known=1), have(*ids))
        liar.hang_up()
        world.run(61)
    assert relay_of(a).share == SHARE_MIN
    tag = next(tag for tag in range(2_048) if relay_of(a).carries(hint(3, tag)))
    no = next(tag for tag in range(2_048) if not relay_of(a).carries(hint(3, tag)))
    last = Mallory(world, "Last")
    last.dial(a)
    files = [[junk(100 * t + n, world, 3, part=part(3, t)) for n in range(5)] for t in (tag, no)]
    last.give(*files[0], *files[1])
    world.run(2)
    for data in files[0]:
        assert a.store.fate(envelope_id(data)) is Fate.HELD
    declined = {(envelope_id(data), Refusal.DECLINED) for data in files[1]}
    assert set(refusals(last)) == declined
    assert not set(last.asked()) & {each for each, _ in declined}


# --- declined, then sought -----------------------------------------------------------------------


@pytest.mark.usefixtures("carries_nothing")
@pytest.mark.parametrize("later", [False, True])
def test_declined_then_sought(world: World, three: tuple[Host, Host, Host], later: bool) -> None:
    """Not carried for strangers; asked for at once when a manifest names it, also another day."""
    a, b, _ = three
    data = content(whole(3))
    message = give(a, b, data)
    pieces = envelopes(a, *chunks(a, message))
    (manifest,) = envelopes(a, now_of(a, message).eid)
    ids = [envelope_id(each) for each in pieces]
    mallory = Mallory(world)
    mallory.dial(b)
    mallory.give(*pieces)
    world.run(1)
    assert sorted(refusals(mallory)) == sorted((each, Refusal.DECLINED) for each in ids)
    assert mallory.asked() == {} and len(b.links) == 1
    if later:
        mallory.hang_up()
        world.run(600)
        mallory.dial(b)
    mallory.give(manifest)
    world.run(1)
    assert set(ids) == mallory.asked_first(), "and they do not wait behind small mail"
    assert b.store.file(message.id) == data


@pytest.mark.usefixtures("carries_nothing")
def test_declined_here_and_sought_because_of_another(
    world: World, three: tuple[Host, Host, Host]
) -> None:
    """The link that offered it is asked in the step in which the other brought the manifest."""
    a, b, _ = three
    message = give(a, b, content(whole(2)))
    pieces = envelopes(a, *chunks(a, message))
    (manifest,) = envelopes(a, now_of(a, message).eid)
    one, other = Mallory(world, "One"), Mallory(world, "Other")
    one.dial(b, supervised=True)
    other.dial(b, supervised=True)
    one.give(*pieces)
    assert not one.asked()
    other.give(manifest)
    assert one.asked_first() == {envelope_id(each) for each in pieces}


@pytest.mark.usefixtures("carries_nothing")
def test_sought_on_a_link_that_comes_after_the_manifest(
    world: World, three: tuple[Host, Host, Host]
) -> None:
    """Declined of one, then named by another's manifest: asked for when the first is met again."""
    a, b, _ = three
    data = content(whole(2))
    message = give(a, b, data)
    pieces = envelopes(a, *chunks(a, message))
    (manifest,) = envelopes(a, now_of(a, message).eid)
    one, other = Mallory(world, "One"), Mallory(world, "Other")
    one.dial(b)
    one.give(*pieces)
    one.hang_up()
    other.dial(b)
    other.give(manifest)
    world.run(1)
    assert b.store.file(message.id) is None
    other.hang_up()
    one.dial(b)  # offers nothing again
    world.run(1)
    assert one.asked_first() == {envelope_id(each) for each in pieces}
    assert b.store.file(message.id) == data


@pytest.mark.usefixtures("carries_all")
@pytest.mark.parametrize("later", [False, True])
def test_declined_is_not_offered_again_and_is_still_served(world: World, later: bool) -> None:
    """To this node key, on this link and on later ones; a new key is offered it."""
    a = world.host("Aida")
    giver, mallory = Mallory(world, "Giver"), Mallory(world)
    data = junk(1, world, 3, part=part(2))
    giver.dial(a)
    giver.give(data)
    world.run(1)
    mallory.dial(a)
    one = envelope_id(data)
    assert offered(mallory) == [(one, hint(2))]
    mallory.say(mallory.next(), (wire_link.REFUSED, write_refusals([(one, Refusal.DECLINED)])))
    if later:
        mallory.hang_up()
        mallory.dial(a)
        world.run(70)
        assert offered(mallory) == []
    mallory.heard.clear()
    mallory.say((wire_link.WANT, one + b"\x00\x80"))
    assert b"".join(body[20:] for body in mallory.bodies(wire_link.PART))[:8] == data[:8]
    assert len(mallory.links) == 1
    other = Mallory(world, "Other")
    other.dial(a)
    assert offered(other) == [(one, hint(2))]


@pytest.mark.usefixtures("carries_nothing")
def test_declined_is_not_carried(world: World, three: tuple[Host, Host, Host]) -> None:
    """The author is told nothing better than what is: no carrier took the file."""
    a, b, c = three
    message = give(a, b, content(whole(2)))
    text = send(a, b, "small")
    world.meet(a, c, 70)
    assert a.state(message) == State.QUEUED and a.state(text) == State.CARRIED
    world.meet(a, b, 20)
    assert a.state(message) == State.DELIVERED


def test_declined_of_what_we_forgot_ends_no_link(world: World) -> None:
    """Our offer was evicted and swept while the refusal was on its way: no crime of theirs."""
    a = world.host("Aida")
    giver, mallory = Mallory(world, "Giver"), Mallory(world)
    data = junk(1, world, 3, part=part(2))
    giver.dial(a)
    giver.give(data)
    world.run(1)
    mallory.dial(a)
    one = envelope_id(data)
    with a.store.transaction():
        a.node._custody.drop(one, Fate.EVICTED)
    giver.say()
    peer = next(p for p in a.node._neighbours._peers.values() if p.link.origin == b"Mallory")
    assert peer.sync is not None
    a.node._neighbours.withdraw([one])
    peer.sync._offering._sweep()
    assert one not in peer.sync._offering._ours
    mallory.say((wire_link.REFUSED, write_refusals([(one, Refusal.DECLINED)])))
    assert len(mallory.links) == 1


def test_declined_of_what_was_never_offered_ends_the_link(world: World) -> None:
    a = world.host("Aida")
    mallory = Mallory(world)
    mallory.dial(a)
    mallory.say((wire_link.REFUSED, write_refusals([(eid(1), Refusal.DECLINED)])))
    assert counters(a)["refused_unknown"] == 1 and not a.links


@pytest.mark.usefixtures("carries_nothing")
def test_what_was_declined_is_remembered_within_bounds(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither ids without end nor keys without end fill our memory."""
    monkeypatch.setattr("meshchat.core.transfers.DECLINED_REMEMBERED_MAX", 64)
    assert DECLINED_REMEMBERED_MAX > 64
    a = world.host("Aida", Limits(handshakes_per_window=1_000))
    declined = a.node._neighbours._transfers.declined
    for n in range(4 * DECLINED_KEYS_MAX):
        liar = Mallory(world, f"Liar {n}")
        liar.dial(a)
        liar.say(have(eid(7), hint=hint(3)))
        liar.hang_up()
    assert len(declined[eid(7)]) == DECLINED_KEYS_MAX and liar.key.public in declined[eid(7)]
    liar.dial(a)
    liar.say(have(*(eid(100 + n) for n in range(200)), hint=hint(3)))
    assert len(declined) == 64


def test_small_mail_is_asked_for_beside_what_is_sought(
    world: World, three: tuple[Host, Host, Host]
) -> None:
    """Many chunks are sought and few may be open: what is small behind them waits for none."""
    a, b, _ = three
    message = give(a, b, content(whole(20)))
    first, *others = chunks(a, message)
    mallory = Mallory(world)
    mallory.dial(b)
    mallory.give(*envelopes(a, now_of(a, message).eid, first))
    world.run(1)
    small = [junk(n, world) for n in range(5)]
    offers = [(each, hint(5)) for each in others]
    offers += [(envelope_id(data), 0) for data in small]
    mallory.heard.clear()
    mallory.say((wire_link.HAVE, write_offers(offers)))
    asked = set(mallory.asked())
    assert {envelope_id(data) for data in small} <= asked
    assert len(asked) == len(small) + BULK_OPEN_MAX + 1  # one for the first, which came at once


@pytest.mark.usefixtures("carries_all")
def test_what_waits_and_turns_out_to_be_sought_is_asked_for_at_once(
    world: World, three: tuple[Host, Host, Host]
) -> None:
    """It waited for room in a full store; the manifest came from somebody else."""
    a, _, _ = three
    b = full_of(world, 0)
    a.do(_add(b))
    b.do(_add(a))
    message = give(a, b, content(whole(2)))
    pieces = envelopes(a, *chunks(a, message))
    (manifest,) = envelopes(a, now_of(a, message).eid)
    one, other = Mallory(world, "One"), Mallory(world, "Other")
    one.dial(b, supervised=True)
    other.dial(b, supervised=True)
    one.give(*pieces)
    assert not one.asked(), "no room"
    peer = next(p for p in b.node._neighbours._peers.values() if p.link.origin == b"One")
    assert peer.sync is not None and not peer.sync.seek([eid(1)])
    assert peer.sync.seek([envelope_id(pieces[0])]), "this link has something to do now"
    other.give(manifest)
    assert set(one.asked()) == {envelope_id(each) for each in pieces}
    assert b.store.file(message.id) is not None


@pytest.mark.parametrize("new_key", [False, True])
def test_sought_of_a_carrier_that_has_it_no_more(
    world: World, three: tuple[Host, Host, Host], monkeypatch: pytest.MonkeyPatch, new_key: bool
) -> None:
    """Declined, and gone there when it is sought: the link goes on, and says so."""
    a, b, c = three
    message = give(a, b, content(whole(2)))
    ids = chunks(a, message)
    (manifest,) = envelopes(a, now_of(a, message).eid)
    world.meet(a, c)
    with c.store.transaction():
        c.node._custody.drop(envelope_id(manifest), Fate.EVICTED)
    with monkeypatch.context() as patch:
        patch.setattr(Relay, "carries", lambda _, one: class_of(one) < 2)
        world.meet(c, b)
        world.settle()
    assert set(ids) <= set(b.node._neighbours._transfers.declined)
    with c.store.transaction():
        for one in ids:
            c.node._custody.drop(one, Fate.EVICTED)
    c.handle(Wake())
    giver = Mallory(world)
    giver.dial(b)
    giver.give(manifest)
    world.run(1)
    giver.hang_up()
    if new_key:
        b.node._neighbours.renew_key()
    world.link(b, c)
    world.run(3)
    assert len(b.links) == len(c.links) == 1
    text = send(a, b, "still fine")
    giver.dial(c)
    giver.give(*envelopes(a, now_of(a, text).eid))
    world.run(1)
    assert "still fine" in b.texts(contact_chat(a.node.fp))


def test_a_plain_want_of_what_was_never_offered_ends_the_link(world: World) -> None:
    """Only what may have been declined once can be asked for unoffered, and is refused then."""
    a = world.host("Aida")
    mallory = Mallory(world)
    mallory.dial(a)
    mallory.say((wire_link.WANT, eid(1) + b"\0\x80"))
    assert refusals(mallory) == [(eid(1), Refusal.UNWANTED)] and len(a.links) == 1
    mallory.say((wire_link.WANT, eid(1) + bytes(2)))
    assert counters(a)["want_unoffered"] == 1 and not a.links


def test_what_found_no_room_and_is_sought_is_asked_for_again(
    world: World,
) -> None:
    """Refused as full before its manifest came: no ten minutes of silence about what is ours."""
    a, b = world.host("Aida"), world.host("Bolat", Limits(store_bytes=8 * 32_768))
    a.do(_add(b))
    b.do(_add(a))
    message = give(a, b, content(whole(2)))
    pieces = envelopes(a, *chunks(a, message))
    (manifest,) = envelopes(a, now_of(a, message).eid)
    mallory = Mallory(world)
    mallory.dial(b)
    mallory.give(*pieces)
    world.run(1)
    assert {reason for _, reason in refusals(mallory)} == {Refusal.FULL}
    mallory.give(manifest)
    world.run(1)
    mallory.hang_up()
    mallory.dial(b)
    mallory.give(*pieces)
    world.run(1)
    assert b.store.file(message.id) is not None


# --- what leaves first ---------------------------------------------------------------------------

SMALL_MAX, BULK_MAX = 2_048, 16_640
_adding = st.tuples(
    st.sampled_from(("proof", "small", "small", "first", "bulk")), st.integers(1, BULK_MAX)
)
_moves = st.lists(st.one_of(_adding, st.just(("serve", 0)), st.just(("drop", 0))), max_size=120)


class Queue:
    """``Serving`` beside the plainest account of what waits in it."""

    def __init__(self) -> None:
        self.serving = Serving()
        self.kinds: dict[bytes, str] = {}
        self.left: dict[bytes, int] = {}
        self.lead = 0
        """Bytes of small mail less those of wanted bulk, while both wait."""
        self.count = 0

    def add(self, kind: str, size: int) -> None:
        self.count += 1
        one = eid(self.count)
        hints = {"proof": PROOF_HINT, "small": self.count % 2 << 14, "first": hint(3)}
        self.serving.add(one, hints.get(kind, hint(2)), kind == "first")
        self.kinds[one] = kind
        self.left[one] = min(size, SMALL_MAX) if kind == "small" else size * 3

    def waits(self, kind: str) -> bool:
        return kind in self.kinds.values()

    def step(self, drop: bool) -> str:
        """One piece of what goes next leaves; of which kind it is."""
        one = self.serving.head()
        kind = self.kinds[one]
        assert kind == "proof" or not self.waits("proof"), "proofs go first"
        assert kind != "bulk" or not self.waits("small"), "bulk nobody seeks goes last"
        assert kind != "bulk" or not self.waits("first")
        both = self.waits("small") and self.waits("first")
        if drop or kind == "proof":
            self.serving.drop()
            size = self.left[one] = 0
        else:
            size = min(self.left[one], BULK_MAX)
            self.left[one] -= size
            (self.serving.sent if self.left[one] else self.serving.finish)(size)
        if not self.left[one]:
            del self.kinds[one], self.left[one]
        self.lead = (self.lead + (size if kind == "small" else -size)) if both else 0
        assert abs(self.lead) <= SMALL_MAX + BULK_MAX, "both move, whatever the backlog"
        return kind


@settings(max_examples=300, deadline=None)
@given(_moves)
@example([("small", 99), ("first", 99), ("small", 99), ("serve", 0), ("proof", 1), ("serve", 0)])
def test_serving_is_fair(moves: list[tuple[str, int]]) -> None:
    """Proofs first, small mail and wanted bulk by turns of bytes, other bulk when nothing waits."""
    queue = Queue()
    for move, size in moves:
        if move not in ("serve", "drop"):
            queue.add(move, size)
        elif queue.serving:
            queue.step(move == "drop")
        assert bool(queue.serving) == bool(queue.kinds)
    steps = 0
    while queue.serving:
        queue.step(drop=False)
        steps += 1
        assert steps < 1_000
    assert not queue.kinds


@given(
    supply=st.sampled_from(("small", "first")),
    sizes=st.lists(st.integers(1, SMALL_MAX), min_size=1),
)
def test_neither_starves_under_an_endless_supply_of_the_other(
    supply: str, sizes: list[int]
) -> None:
    """However much small mail, or wanted bulk, keeps coming: the other goes out beside it."""
    queue = Queue()
    queue.add("first" if supply == "small" else "small", SMALL_MAX)
    other = queue.kinds[eid(1)]
    sent = 0
    for turn in range(2_000):
        queue.add(supply, sizes[turn % len(sizes)])
        sent += min(sizes[turn % len(sizes)], SMALL_MAX)
        if queue.step(drop=False) == other and eid(1) not in queue.kinds:
            return
        if sent > 8 * BULK_MAX and supply == "first":
            break
    assert eid(1) not in queue.kinds, f"the {other} one never left"


def test_order_of_the_shelf() -> None:
    """Proofs, small, then by size of file; a file together; what nobody has yet before the rest."""
    shelf = Shelf()
    rows = [
        (eid(1), hint(4, 9)),
        (eid(2), hint(1, 8)),
        (eid(3), hint(4, 2)),
        (eid(4), hint(4, 9)),
        (eid(5), hint(1, 7, 2)),
        (eid(6), hint(4, 2)),
        (eid(7), 0x4000),
        (eid(8), 0),
        (eid(9), PROOF_HINT),
    ]
    for row in rows:
        shelf.add(*row)
    first = [9, 8, 7, 5, 2]
    assert [int.from_bytes(each, "big") for each in shelf.missing(b"x")] == [*first, 3, 6, 1, 4]
    shelf.gave([eid(3), eid(5)])
    order = [int.from_bytes(each, "big") for each in shelf.missing(b"y")]
    assert order == [9, 8, 7, 2, 5, 6, 1, 4, 3]
    backwards = Shelf()
    for row in reversed(rows):
        backwards.add(*row)
    others = backwards.missing(b"x").items()
    bulk = [row for row in others if row[1] != PROOF_HINT and class_of(row[1]) > 1]
    assert [int.from_bytes(each, "big") for each, _ in bulk] == [5, 2, 6, 3, 4, 1]
    assert BULK_RANK == 3


# --- a full store --------------------------------------------------------------------------------

FULL = Limits(
    store_bytes=8 * 32_768, origin_share=1.0, contact_share=1.0, small_reserve=0.0, bulk_share=1.0
)


def full_of(world: World, bits: int) -> Host:
    """A node whose store is full of chunks of files of so many pieces."""
    host = world.host("Full", FULL)
    filler = Mallory(world, "Filler")
    filler.dial(host)
    filler.give(*(junk(n, world, 3, part=part(bits, n)) for n in range(8)))
    world.run(2)
    filler.hang_up()
    assert host.node.status(world.now).custody.size_bytes == FULL.store_bytes
    return host


def _add(host: Host) -> AddContact:
    return AddContact(host.node.card_text())


@pytest.mark.usefixtures("carries_all")
@pytest.mark.parametrize("bits", [3, 4, 6])
def test_no_air_for_what_would_be_refused(world: World, bits: int) -> None:
    """Files as large as what fills the store, or larger, are not even asked for."""
    host = full_of(world, 3)
    mallory = Mallory(world)
    mallory.dial(host)
    mallory.give(*(junk(100 + n, world, 3, part=part(bits, 50 + n), life_h=199) for n in range(4)))
    small = junk(200, world)
    mallory.give(small)
    world.run(30)
    assert set(mallory.asked()) == {envelope_id(small)}, "and small mail waits for none of it"
    assert all(reason != Refusal.FULL for _, reason in refusals(mallory))


@pytest.mark.usefixtures("carries_all")
def test_a_smaller_file_takes_the_place_of_a_larger_one(world: World) -> None:
    """It is asked for, kept, and what gave way was of the larger file."""
    host = full_of(world, 3)
    mallory = Mallory(world)
    mallory.dial(host)
    smaller = [junk(100 + n, world, 3, part=part(2, 50), life_h=50) for n in range(3)]
    mallory.give(*smaller)
    world.run(30)
    for data in smaller:
        assert host.store.fate(envelope_id(data)) is Fate.HELD
    fates = Counter(
        host.store.fate(envelope_id(junk(n, world, 3, part=part(3, n)))) for n in range(8)
    )
    assert fates == {Fate.HELD: 5, Fate.EVICTED: 3}


@pytest.mark.usefixtures("carries_all")
def test_a_file_begun_earlier_does_not_block_small_mail(world: World) -> None:
    """First bytes of a chunk that finds no room now: what is small is asked for all the same."""
    host = full_of(world, 3)
    chunk, small = junk(100, world, 3, part=part(6)), junk(101, world)
    with host.store.transaction():
        host.store.save_partial(Partial(envelope_id(chunk), 32_768, chunk[:100]))
    host.crash()
    mallory = Mallory(world)
    mallory.dial(host)
    mallory.give(chunk, small)
    world.run(2)
    assert set(mallory.asked()) == {envelope_id(small)}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(1, 199)), min_size=9, max_size=30))
def test_bulk_never_pushes_out_its_equals(arrivals: list[tuple[int, int]]) -> None:
    """Whatever comes with whatever expiry: only a larger file gives way, and room is foretold."""
    world = World()
    host = world.host("Full", FULL)
    custody: Custody = host.node._custody
    held: dict[bytes, int] = {}
    for n, (bits, life) in enumerate(arrivals):
        data = junk(n, world, 3, part=part(bits, n), life_h=life)
        header = parse_header(data)
        room = custody.has_room(hint_of(3, data), False)
        with host.store.transaction():
            verdict = custody.admit(
                data, header, envelope_id(data), b"origin%02d" % n, False, world.now
            )
            custody.flush()
        assert room is not isinstance(verdict, Refusal), "what is foretold comes true"
        worst = max(held.values(), default=-1)
        gone = [one for one in held if host.store.fate(one) is not Fate.HELD]
        for one in gone:
            assert held.pop(one) == worst > bits
        if not isinstance(verdict, Refusal):
            held[envelope_id(data)] = bits
        assert len(held) <= 8


def test_proofs_are_carried_by_all() -> None:
    """Their hint looks like that of a file, of which most nodes would carry none."""
    for n in range(64):
        assert fall(Relay(bytes([n]) * 32)).carries(PROOF_HINT)


def test_long_texts_are_carried_by_all() -> None:
    """They are part of nothing, so they have no tag: a share would drop all of them at once."""
    relay = fall(Relay(KEY))
    assert relay.share == SHARE_MIN
    assert relay.carries(2 << 14) and relay.carries(3 << 14)
