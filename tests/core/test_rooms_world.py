"""A stateful world of a room with a passphrase: three inside, one outside who carries."""

import copy
from collections import deque

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from mallory import totals_match
from world import START, World

from meshchat.core.crypto import sign_public
from meshchat.core.events import JoinRoom, Received, Send
from meshchat.core.identity import room_author_seed, room_id
from meshchat.core.model import Message, room_chat
from meshchat.sim.memory import MemoryStore

NAMES = ("Aida", "Bolat", "Dana", "Outside")
KEY = bytes(range(32))  # what the passphrase comes to; hashing it is tested elsewhere
ROOM = room_chat(room_id(KEY))

who = st.sampled_from(range(len(NAMES)))
inside = st.sampled_from(range(3))


class RoomWorld(RuleBasedStateMachine):
    """Post, lose, repeat, bend, crash, put an old copy back, jump, part and meet."""

    @initialize()
    def start(self) -> None:
        self.world = World(make_store=MemoryStore)
        self.hosts = [self.world.host(name) for name in NAMES]
        for host in self.hosts[:3]:
            host.do(JoinRoom("yard", KEY, True))
        self.world.run(1)
        self.author_of: dict[str, bytes] = {}
        self.copies: dict[int, MemoryStore] = {}
        self.put_back: set[int] = set()
        self.kept: set[str] = set()

    @rule(host=inside, size=st.sampled_from([1, 200, 3_000]))
    def post(self, host: int, size: int) -> None:
        text = f"{len(self.author_of):04d}".ljust(size, ".")
        message = self.hosts[host].do(Send(ROOM, text))
        assert isinstance(message, Message)
        seed = self.hosts[host].store.get("seed")
        assert seed is not None
        self.author_of[text] = sign_public(room_author_seed(seed, room_id(KEY)))
        self.kept.add(text)

    @rule(one=who, other=who)
    def link(self, one: int, other: int) -> None:
        if one != other and len(self.hosts[one].links) < 6:
            self.world.link(self.hosts[one], self.hosts[other])

    @rule(host=who)
    def unplug(self, host: int) -> None:
        for link in list(self.hosts[host].links):
            self.world.cut_link(self.hosts[host], link)

    @rule(steps=st.integers(1, 30))
    def some_steps(self, steps: int) -> None:
        for _ in range(steps):
            if self.world.inbox:
                host, event = self.world.inbox.popleft()
                host.handle(event)

    @rule(host=who, again=st.booleans())
    def lose_or_repeat(self, host: int, again: bool) -> None:
        """Frames to one host vanish, or come twice."""
        found: deque[object] = deque()
        for item in self.world.inbox:
            if item[0] is self.hosts[host] and isinstance(item[1], Received):
                if again:
                    found.extend((item, item))
            else:
                found.append(item)
        self.world.inbox = found  # type: ignore[assignment]

    @rule(host=who, bit=st.integers(0, 100_000))
    def bend(self, host: int, bit: int) -> None:
        """One bit of what is under way to a host is another."""
        for place, (to, event) in enumerate(self.world.inbox):
            if to is self.hosts[host] and isinstance(event, Received):
                frame = bytearray(event.frames[0])
                frame[bit // 8 % len(frame)] ^= 1 << bit % 8
                self.world.inbox[place] = (
                    to,
                    Received(event.link, (bytes(frame), *event.frames[1:])),
                )
                return

    @rule(host=who)
    def crash(self, host: int) -> None:
        self.hosts[host].crash()

    @rule(host=inside)
    def save_copy(self, host: int) -> None:
        self.copies[host] = copy.deepcopy(self.hosts[host].store)  # type: ignore[assignment]

    @rule(host=inside)
    def put_copy_back(self, host: int) -> None:
        """Whatever was posted since then is lost to its author; others may have it."""
        if host not in self.copies:
            return
        place = self.hosts[host]
        lost = {m.text for m in place.store.messages(ROOM, limit=10_000) if m.outgoing}
        place.store = copy.deepcopy(self.copies[host])
        place.crash()
        self.put_back.add(host)
        self.kept -= lost - {m.text for m in place.store.messages(ROOM, limit=10_000)}

    @rule(seconds=st.sampled_from([0.1, 1.0, 20.0, 90.0, 4_000.0]))
    def wait(self, seconds: float) -> None:
        self.world.run(seconds)

    @rule(hours=st.sampled_from([-14, -3, 0, 3, 14]))
    def set_clock(self, hours: int) -> None:
        self.world.wall = START + self.world.mono - 1_000.0 + hours * 3_600

    @invariant()
    def what_is_shown_is_true_and_shown_once(self) -> None:
        for host in getattr(self, "hosts", ())[:3]:
            shown = host.store.messages(ROOM, limit=10_000)
            texts = [message.text for message in shown]
            assert len(texts) == len(set(texts))
            for message in shown:
                assert message.author == self.author_of[message.text], "in another's name"

    @invariant()
    def outside_reads_nothing(self) -> None:
        if hasattr(self, "hosts"):
            assert not self.hosts[3].store.messages(ROOM)
            assert self.hosts[3].node.status(self.world.now).custody.mine == 0

    def teardown(self) -> None:
        """After a calm meeting of all three, everybody has every post nobody lost."""
        if not hasattr(self, "hosts"):
            return
        world, (a, b, c) = self.world, self.hosts[:3]
        world.settle()
        for host in self.hosts:
            for link in list(host.links):
                world.cut_link(host, link)
        world.settle()
        for _ in range(2):
            for one, other in ((a, b), (b, c), (a, c)):
                world.meet(one, other, 60)
        for host in (a, b, c):
            assert self.kept <= set(host.texts(ROOM)), host.name
        for host in self.hosts:
            assert totals_match(host)


TestRoomWorld = RoomWorld.TestCase
TestRoomWorld.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
