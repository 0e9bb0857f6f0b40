"""The live check: both see the same seven signs, nobody in the middle can bring that about."""

import itertools
import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from world import Host, SeededEntropy, World

from meshchat.core import link as wire_link
from meshchat.core import livecheck
from meshchat.core.events import (
    AddContact,
    AnswerCheck,
    Block,
    CancelCheck,
    CheckEnded,
    CheckShown,
    StartCheck,
    Verify,
)
from meshchat.core.livecheck import BODY_BYTES, Line, LiveChecks, Reason, Step, signs_of
from meshchat.core.model import Now, Trust
from meshchat.core.signs import SIGNS
from meshchat.errors import AuthError, ProtocolError, TrustError, UsageError, WireError

H1 = b"h" * 64
FPS = {"a": b"A" * 32, "b": b"B" * 32}


class Two:
    """Two checkers on one link (``a`` dialled), records moved by hand; the clock too."""

    def __init__(self) -> None:
        self.mono = 100.0
        self.out: dict[str, list[bytes]] = {"a": [], "b": []}
        self.told: dict[str, list[object]] = {"a": [], "b": []}
        self.sides = {name: self._side(name) for name in "ab"}
        self.lines = {
            "a": Line(1, FPS["b"], H1, True),
            "b": Line(1, FPS["a"], H1, False),
        }

    def _side(self, name: str) -> LiveChecks:
        def send(_link: int, body: bytes) -> None:
            self.out[name].append(body)

        return LiveChecks(FPS[name], SeededEntropy(name), send, self.told[name].append)

    @property
    def now(self) -> Now:
        return Now(self.mono, 1_800_000_000.0 + self.mono)

    def start(self, name: str) -> None:
        self.sides[name].start(self.lines[name], self.now)

    def give(self, name: str, body: bytes) -> None:
        self.sides[name].record(self.lines[name], body, self.now)

    def move(self) -> None:
        """Until both are silent."""
        while any(self.out.values()):
            for name, other in (("a", "b"), ("b", "a")):
                bodies, self.out[name][:] = list(self.out[name]), []
                for body in bodies:
                    self.give(other, body)

    def shown(self, name: str) -> list[tuple[int, ...]]:
        return [told.signs for told in self.told[name] if isinstance(told, CheckShown)]

    def ended(self, name: str) -> list[str]:
        return [told.reason for told in self.told[name] if isinstance(told, CheckEnded)]


@pytest.fixture
def two() -> Two:
    return Two()


def test_signs_can_be_told_apart() -> None:
    """64 signs, one code point each, two cells wide, and 64 plain words."""
    signs, words = zip(*SIGNS, strict=True)
    assert len(set(signs)) == len(set(words)) == 64
    assert all(word.isascii() and word.isalpha() and word.islower() for word in words)
    assert all(len(sign) == 1 and unicodedata.east_asian_width(sign) == "W" for sign in signs)


@pytest.mark.parametrize("starter", ["a", "b"])
def test_both_see_the_same(two: Two, starter: str) -> None:
    """Whoever starts; and another check shows other signs."""
    seen = []
    for _ in range(3):
        two.start(starter)
        two.move()
        assert two.shown("a") == two.shown("b")
        seen.append(two.shown("a")[-1])
        for name, other in (("a", "b"), ("b", "a")):
            two.sides[name].answer(FPS[other], True, two.now)
        two.mono += 10
    assert len(set(seen)) == 3
    assert two.ended("a") == two.ended("b") == ["same"] * 3
    assert all(len(signs) == 7 and max(signs) < 64 for signs in seen)


def test_both_start_at_once(two: Two) -> None:
    """The dialler's counts; both still see one check, the same one."""
    two.start("a")
    two.start("b")
    two.move()
    assert two.shown("a") == two.shown("b") and len(two.shown("a")) == 1


def cheat(two: Two) -> tuple[int, ...]:
    """As starter: commit to one number, see the answer, then reveal one that gives wanted signs."""
    line = two.lines["b"]
    honest = livecheck.commitment(H1, FPS["a"], FPS["b"], bytes(32))
    two.give("b", bytes([Step.COMMIT]) + honest)
    (answer,) = two.out["b"]
    two.out["b"].clear()
    for n in itertools.count():
        number = n.to_bytes(32, "little")
        signs = signs_of(line.h, FPS["a"], FPS["b"], number, answer[1:])
        if signs[:2] == (7, 7):  # 12 of the 42 bits: enough to show who chose
            break
    two.give("b", bytes([Step.REVEAL]) + number)
    return signs


def test_who_picks_after_seeing_loses(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reveal must be what was committed to; without that rule the cheat works."""
    with pytest.raises(AuthError) as caught:
        cheat(two)
    assert caught.value.reason == "check_reveal"
    assert (two.shown("b"), two.ended("b")) == ([], ["cheated"])
    monkeypatch.setattr(livecheck, "equal", lambda *_: True)
    two.mono += 10
    assert two.shown("b") == [] and cheat(two) == two.shown("b")[0]


def test_nothing_can_be_searched_before_the_answer(two: Two) -> None:
    """What the starter sends first is no function that an answerer could try numbers against."""
    two.start("a")
    (commit,) = two.out["a"]
    number = two.sides["a"]._check.number  # type: ignore[union-attr]
    assert number not in commit and len(commit) == BODY_BYTES
    two.give("a", bytes([Step.ANSWER]) + bytes(32))
    assert two.out["a"][1] == bytes([Step.REVEAL]) + number  # only now


def test_reflection_and_replay(two: Two) -> None:
    """Our own records sent back, and records of another link or direction, show nothing."""
    two.start("a")
    (commit,) = two.out["a"]
    two.give("a", commit)  # crossed, as from somebody who starts with our own commitment
    assert two.ended("a") == []
    two.sides["a"].cancel(FPS["b"])
    two.mono += 10
    two.give("a", commit)  # now as a start of theirs: its number is bound to the other direction
    two.give("a", bytes([Step.ANSWER]) + bytes(32))
    other = Two()
    other.start("a")
    number = other.sides["a"]._check.number  # type: ignore[union-attr]
    with pytest.raises(AuthError):
        two.give("a", bytes([Step.REVEAL]) + number)
    fresh = Two()
    fresh.lines = {name: line._replace(h=b"H" * 64) for name, line in fresh.lines.items()}
    fresh.give("b", commit)  # recorded on the link with another handshake
    with pytest.raises(AuthError):
        fresh.give("b", bytes([Step.REVEAL]) + number)
    assert two.shown("a") == fresh.shown("b") == []
    same = Two()  # the same on its own link is what an honest starter would send
    same.give("b", commit)
    same.give("b", bytes([Step.REVEAL]) + number)
    assert len(same.shown("b")) == 1


def test_time_is_over(two: Two) -> None:
    """Without an answer, without a reveal, and without our user."""
    two.start("a")
    two.out["a"].clear()
    assert two.sides["a"].next_wakeup() == two.mono + livecheck.REPLY_WAIT_S
    two.mono += livecheck.REPLY_WAIT_S
    two.sides["a"].wake(two.now)
    assert two.ended("a") == ["timeout"]
    two.out["a"].clear()
    two.start("a")
    two.move()
    two.mono += livecheck.PERSON_WAIT_S
    two.sides["a"].wake(two.now)
    assert two.ended("a") == ["timeout"] * 2
    two.move()
    assert two.ended("b") == ["ended"]
    for name, other in (("a", "b"), ("b", "a")):
        with pytest.raises(UsageError):
            two.sides[name].answer(FPS[other], True, two.now)
        assert two.sides[name].next_wakeup() is None


def test_one_at_a_time(two: Two) -> None:
    """A second start is refused, a third person is told *busy*, and nobody floods our screen."""
    two.start("a")
    with pytest.raises(UsageError) as caught:
        two.start("a")
    assert caught.value.reason == "check_busy"
    two.move()
    third = Line(2, b"C" * 32, b"x" * 64, True)
    two.sides["b"].record(third, bytes([Step.COMMIT]) + bytes(32), two.now)
    busy = bytes([Step.END, Reason.BUSY]) + bytes(31)
    assert two.out["b"] == [busy]
    two.out["b"].clear()
    two.sides["b"].cancel(FPS["a"])
    two.move()
    for _ in range(3):
        two.start("a")
        two.move()
    assert two.ended("a") == ["ended", "busy", "busy", "busy"]
    assert len(two.shown("b")) == 1


def test_their_no_is_heard_after_our_yes(two: Two) -> None:
    """Who confirmed too quickly still hears that the other sees different signs."""
    two.start("a")
    two.move()
    two.sides["a"].answer(FPS["b"], True, two.now)
    two.sides["b"].answer(FPS["a"], False, two.now)
    two.move()
    assert (two.ended("a"), two.ended("b")) == (["same", "denied"], ["different"])


@given(st.lists(st.tuples(st.sampled_from("ab"), st.binary(max_size=40) | st.none()), max_size=30))
def test_any_records_in_any_state(steps: list[tuple[str, bytes | None]]) -> None:
    """Hostile bytes raise a ProtocolError or nothing, and a check can always be begun later."""
    two = Two()
    for name, body in steps:
        if body is None and not two.sides[name]._busy:
            two.start(name)
        elif body:
            form = bytes([body[0] % 6]) + body[1:33].ljust(32, b"\0")
            for raw in (body, form):
                try:
                    two.give(name, raw)
                except ProtocolError:
                    continue
    for name in "ab":
        two.sides[name].link_down(1)
        assert two.sides[name].next_wakeup() is None
        two.out[name].clear()
    two.mono += 10
    two.start("a")
    two.move()
    assert two.shown("a")[-1] == two.shown("b")[-1]


@pytest.mark.parametrize(
    "body", [b"", bytes(33), b"\x01", b"\x05" + bytes(32), b"\x04" + b"\1" * 32]
)
def test_malformed(two: Two, body: bytes) -> None:
    with pytest.raises(WireError):
        two.give("a", body)


# --- in whole nodes ------------------------------------------------------------------------------


def befriend(one: Host, other: Host) -> None:
    one.do(AddContact(other.node.card_text()))
    other.do(AddContact(one.node.card_text()))


def signs(host: Host) -> list[tuple[int, ...]]:
    return [told.signs for told in host.told if isinstance(told, CheckShown)]


def trust(host: Host, other: Host) -> Trust:
    contact = host.store.contact(other.node.fp)
    assert contact is not None
    return contact.trust


@pytest.fixture
def near() -> tuple[World, Host, Host]:
    """Two contacts on one link."""
    world = World()
    a, b = world.host("Aida"), world.host("Bolat")
    befriend(a, b)
    world.link(a, b)
    world.run(1)
    return world, a, b


def test_a_check_verifies(near: tuple[World, Host, Host]) -> None:
    """One command, the same signs on both, a yes on each side marks that side only."""
    world, a, b = near
    a.do(StartCheck(b.node.fp))
    world.settle()
    assert signs(a) == signs(b) and len(signs(a)) == 1
    assert a.node.signs_shown(b.node.fp) == signs(a)[0]
    a.do(AnswerCheck(b.node.fp, same=True))
    assert (trust(a, b), trust(b, a)) == (Trust.VERIFIED, Trust.UNVERIFIED)
    b.do(AnswerCheck(a.node.fp, same=True))
    assert trust(b, a) is Trust.VERIFIED
    a.crash()
    assert trust(a, b) is Trust.VERIFIED


def test_a_no_takes_the_mark_away(near: tuple[World, Host, Host]) -> None:
    """Different signs: whatever was believed before is not any more, and both are told loudly."""
    world, a, b = near
    a.do(Verify(b.node.fp))
    b.do(StartCheck(a.node.fp))
    world.settle()
    a.do(AnswerCheck(b.node.fp, same=False))
    world.settle()
    assert trust(a, b) is Trust.UNVERIFIED
    assert CheckEnded(b.node.fp, "different") in a.told
    assert CheckEnded(a.node.fp, "denied") in b.told


def swapped(world: World) -> tuple[Host, Host, Host, Host]:
    """Aida and Bolat got each other's card through somebody who gave out cards of its own."""
    a, b = world.host("Aida"), world.host("Bolat")
    as_bolat, as_aida = world.host("Bolat"), world.host("Aida")
    befriend(a, as_bolat)
    befriend(b, as_aida)
    world.link(a, as_bolat)
    world.link(b, as_aida)
    world.run(1)
    return a, b, as_bolat, as_aida


def test_somebody_in_the_middle_is_seen() -> None:
    """Attacks 1 and 14: swapped keys stay unverified, and both checks show different things."""
    world = World()
    a, b, as_bolat, as_aida = swapped(world)
    assert trust(a, as_bolat) is trust(b, as_aida) is Trust.UNVERIFIED
    assert a.node.safety_words(as_bolat.node.fp) != b.node.safety_words(as_aida.node.fp)
    a.do(StartCheck(as_bolat.node.fp))
    as_aida.do(StartCheck(b.node.fp))
    world.settle()
    assert len(signs(a)) == len(signs(b)) == 1 and signs(a) != signs(b)


def test_passing_records_on_does_not_help() -> None:
    """Who moves the records of one link to the other is found out by the handshake hash."""
    world = World()
    a, b, as_bolat, as_aida = swapped(world)
    deaf = as_bolat.node._neighbours.checks, as_aida.node._neighbours.checks

    def to(host: Host, of: Host) -> Callable[[Line, bytes, Now], None]:
        def passed_on(_line: Line, body: bytes, _now: Now) -> None:
            ways = host.node._neighbours
            line = ways.line(of.node.fp)
            assert line is not None
            ways._send_check(line.link, body)
            host.handle(wake())

        return passed_on

    deaf[0].record = to(as_aida, b)  # type: ignore[method-assign]
    deaf[1].record = to(as_bolat, a)  # type: ignore[method-assign]
    a.do(StartCheck(as_bolat.node.fp))
    world.run(1)
    assert len(signs(a)) == 1 and signs(b) == []
    assert CheckEnded(as_aida.node.fp, "cheated") in b.told
    assert b.node.status(world.now).counters["check_reveal"] == 1


def wake() -> object:
    from meshchat.core.events import Wake

    return Wake()


def test_only_with_a_contact_who_is_here(near: tuple[World, Host, Host]) -> None:
    """Not over carriers, not with strangers, not with whom we do not deal."""
    world, a, b = near
    c = world.host("Carrier")
    world.link(a, c)
    world.run(1)
    away = world.host("Dana")
    a.do(AddContact(away.node.card_text()))
    for fp, reason in ((c.node.fp, "unknown_contact"), (away.node.fp, "not_near")):
        with pytest.raises(UsageError) as caught:
            a.do(StartCheck(fp))
        assert caught.value.reason == reason
    a.do(Block(b.node.fp))
    with pytest.raises(TrustError):
        a.do(StartCheck(b.node.fp))
    line = c.node._neighbours._peers
    for link in line:  # a stranger's record is counted and shows nothing
        c.node._neighbours._send_check(link, bytes([Step.COMMIT]) + bytes(32))
    c.handle(wake())  # type: ignore[arg-type]
    world.run(1)
    assert a.node.status(world.now).counters["check_of_stranger"] == 1
    assert signs(a) == []


def test_a_lost_link_ends_it(near: tuple[World, Host, Host]) -> None:
    """Its handshake hash is gone, and so is the check; a cancelled one says nothing."""
    world, a, b = near
    a.do(StartCheck(b.node.fp))
    world.settle()
    world.cut_link(a, next(iter(a.links)))
    world.settle()
    assert CheckEnded(b.node.fp, "link_lost") in a.told
    assert CheckEnded(a.node.fp, "link_lost") in b.told
    with pytest.raises(UsageError):
        a.do(AnswerCheck(b.node.fp, same=True))
    world.link(a, b)
    world.run(10)
    a.do(StartCheck(b.node.fp))
    world.settle()
    a.do(CancelCheck(b.node.fp))
    world.settle()
    assert CheckEnded(a.node.fp, "ended") in b.told
    assert trust(a, b) is Trust.UNVERIFIED


def test_a_node_that_knows_no_check_ignores_it(
    near: tuple[World, Host, Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record type is one that older nodes skip: the link lives, the check ends by itself."""
    world, a, b = near
    monkeypatch.setattr(wire_link, "_OURS", wire_link._OURS - {wire_link.CHECK})
    a.do(StartCheck(b.node.fp))
    world.run(livecheck.REPLY_WAIT_S + 1)
    assert CheckEnded(b.node.fp, "timeout") in a.told
    assert a.links and b.links
