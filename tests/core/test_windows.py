"""A link that lasts for a moment: what leaves first, and that the next goes on where it was cut."""

from collections import deque
from collections.abc import Iterator

import pytest
from filetool import befriend, chunks, content, give, now_of, whole
from mallory import Mallory, junk
from test_node import send
from world import Host, World

from meshchat.core import link as wire_link
from meshchat.core.envelope import envelope_id
from meshchat.core.events import JoinRoom, Received, Send, SendFrames
from meshchat.core.identity import public_room_key
from meshchat.core.limits import CREDIT_BYTES
from meshchat.core.model import Room
from meshchat.core.wire import read_part

BACKLOG = 400  # envelopes of strangers: 200 kB, more than the windows below carry
WINDOW_BYTES = 90_000


class Window:
    """Links between two nodes over which only so many bytes leave the first."""

    def __init__(self, world: World, home: Host, other: Host) -> None:
        self.world, self.home, self.other = world, home, other
        self.left = 0
        world.meddle = self._carry

    def _carry(self, host: Host, effect: SendFrames) -> tuple[bytes, ...]:
        if host is not self.home:
            return effect.frames
        passed = []
        for frame in effect.frames:
            self.left -= len(frame)
            if self.left < 0:
                break
            passed.append(frame)
        return tuple(passed)

    def open(self, size: int = WINDOW_BYTES) -> int:
        """Link, let so many bytes leave."""
        self.left = size
        link, _ = self.world.link(self.home, self.other)
        self.world.settle()
        return link

    def close(self, link: int) -> None:
        if link in self.home.links:
            self.world.cut_link(self.home, link)
        self.world.settle()


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[bytes, int]]]:
    """Id and offset of every PART any node sends, in order."""
    sent: list[tuple[bytes, int]] = []
    real = wire_link.Link.send

    def noted(link: wire_link.Link, kind: int, body: bytes) -> None:
        if kind == wire_link.PART:
            sent.append(read_part(body)[:2])
        real(link, kind, body)

    monkeypatch.setattr(wire_link.Link, "send", noted)
    return sent


def mailbag(world: World, home: Host, stranger: str, count: int, first: int = 0) -> list[bytes]:
    """Envelopes that a stranger brings; their ids."""
    bag = [junk(number, world) for number in range(first, first + count)]
    carrier = Mallory(world, stranger)
    carrier.dial(home)
    carrier.give(*bag)
    world.run(1)
    carrier.hang_up()
    return [envelope_id(data) for data in bag]


def carried(host: Host, eids: list[bytes]) -> int:
    return sum(host.store.envelope(eid) is not None for eid in eids)


@pytest.mark.usefixtures("carries_all")
def test_the_most_valuable_first_and_the_next_window_goes_on(
    parts: list[tuple[bytes, int]],
) -> None:
    """Own mail, that of contacts, strangers' and rooms, files; nothing twice that has arrived."""
    world = World()
    home, far, friend, reader = (world.host(name) for name in ("home", "far", "friend", "reader"))
    for other in (far, friend, reader):
        befriend(home, other)
    old = mailbag(world, home, "old", BACKLOG)
    message = give(home, reader, content(whole(3)))
    room = home.do(JoinRoom("x", public_room_key("x"), False))
    assert isinstance(room, Room)
    home.do(Send(b"r" + room.rid, "to all"))
    theirs = mailbag(world, friend, "theirs", 5, first=1_000)
    world.meet(friend, home)
    note = send(home, reader, "I am well")
    manifest, own = now_of(home, message).eid, now_of(home, note).eid
    pieces = list(chunks(home, message))
    dear = {own, manifest, *theirs}
    parts.clear()

    window = Window(world, home, far)
    link = window.open()
    first = [eid for eid, _ in parts]
    assert dear <= set(first[: len(dear) + 2])  # and at most cards beside them
    assert carried(far, [*dear]) == len(dear)
    came = carried(far, old)
    assert 0 < came < BACKLOG and not carried(far, pieces)
    window.close(link)

    here = {eid for eid, _ in far.store.offered(0)}
    parts.clear()
    link = window.open()
    assert not here & {eid for eid, _ in parts}, "what had arrived is not sent again"
    assert carried(far, old) > came
    window.close(link)

    offsets = []
    for _ in range(20):  # windows of a chunk at most
        parts.clear()
        window.close(window.open(CREDIT_BYTES - 2_000))
        offsets += [offset for eid, offset in parts if eid in pieces]
        assert carried(far, old) == BACKLOG or not carried(far, pieces), "files wait"
    assert carried(far, pieces) == len(pieces)
    assert any(offsets), "a chunk that was cut goes on at its middle"


class SlowLink:
    """A link over which the frames of one side take their time."""

    RATE = 12_000  # bytes a second

    def __init__(self, world: World, home: Host, other: Host) -> None:
        self.world, self.home, self.other = world, home, other
        self.waiting: deque[bytes] = deque()
        world.meddle = self._carry
        _, self.far_link = world.link(home, other)

    def _carry(self, host: Host, effect: SendFrames) -> tuple[bytes, ...]:
        if host is not self.home:
            return effect.frames
        self.waiting.extend(effect.frames)
        return ()

    def pass_on(self, most: int) -> None:
        """Let so many frames arrive, one after the other."""
        self.world.settle()
        for _ in range(most):
            if not self.waiting:
                return
            frame = self.waiting.popleft()
            self.world.mono += len(frame) / self.RATE
            self.world.wall += len(frame) / self.RATE
            self.world.inbox.append((self.other, Received(self.far_link, (frame,))))
            self.world.settle()


def test_news_overtakes_a_backlog(parts: list[tuple[bytes, int]]) -> None:
    """What is written while old mail moves on a slow link waits for what is in flight only."""
    world = World()
    home, far, reader = (world.host(name) for name in ("home", "far", "reader"))
    befriend(home, reader)
    old = mailbag(world, home, "one", 500) + mailbag(world, home, "two", 500, first=500)
    parts.clear()
    slow = SlowLink(world, home, far)
    slow.pass_on(20)
    moved = len(parts)
    assert 0 < moved < len(old) // 2
    note = now_of(home, send(home, reader, "now")).eid
    slow.pass_on(1_000)
    place = [eid for eid, _ in parts].index(note)
    assert place - moved <= 2 * CREDIT_BYTES // 512
    assert carried(far, [note, *old]) == 1 + len(old)


def test_strangers_do_not_see_what_is_ours(parts: list[tuple[bytes, int]]) -> None:
    """To whoever is no contact our own mail goes in its turn, among that of others."""
    world = World()
    home, stranger, reader = (world.host(name) for name in ("home", "stranger", "reader"))
    befriend(home, reader)
    before = mailbag(world, home, "one", 40)
    own = now_of(home, send(home, reader, "I am well")).eid
    after = mailbag(world, home, "two", 40, first=40)
    parts.clear()
    world.meet(home, stranger)
    sent = [eid for eid, _ in parts if eid in {*before, *after} or eid == own]
    held = home.store.envelope(own)
    assert held is not None
    if held.size_class == 0:
        assert sent == [*before, own, *after]
    else:
        assert sent == [*before, *after, own]
