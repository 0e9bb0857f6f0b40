"""A stateful world: whatever happens between nodes, what people see stays true."""

from collections import deque

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from mallory import totals_match
from world import START, Host, World

from meshchat.core.events import AddContact, Received, Send, SendFile
from meshchat.core.model import Message, State, contact_chat

NAMES = ("Aida", "Bolat", "Carrier", "Dana")
ORDER = {State.QUEUED: 0, State.CARRIED: 1, State.DELIVERED: 2, State.FAILED: 3}

who = st.sampled_from(range(len(NAMES)))


class MeshWorld(RuleBasedStateMachine):
    """Four nodes; the first two are friends, the others are strangers who carry."""

    @initialize()
    def start(self) -> None:
        self.world = World()
        self.hosts = [self.world.host(name) for name in NAMES]
        a, b = self.hosts[:2]
        a.do(AddContact(b.node.card_text()))
        b.do(AddContact(a.node.card_text()))
        self.world.run(1)
        self.sent: list[tuple[Host, Host, Message]] = []
        self.ranks: dict[bytes, tuple[int, int]] = {}
        self.files: dict[bytes, bytes] = {}
        self.cut = False

    @rule(first=st.booleans(), size=st.sampled_from([1, 90, 400, 3_000, 7_000]))
    def send(self, first: bool, size: int) -> None:
        sender, reader = self.hosts[:2] if first else self.hosts[1::-1]
        text = f"{len(self.sent):04d}".ljust(size, ".")
        message = sender.do(Send(contact_chat(reader.node.fp), text))
        assert isinstance(message, Message)
        self.sent.append((sender, reader, message))

    @rule(first=st.booleans(), size=st.sampled_from([1, 2_500, 40_000]))
    def send_file(self, first: bool, size: int) -> None:
        sender, reader = self.hosts[:2] if first else self.hosts[1::-1]
        name, data = f"{len(self.sent):04d}", bytes([len(self.sent) % 256]) * size
        message = sender.do(SendFile(contact_chat(reader.node.fp), name, data))
        assert isinstance(message, Message)
        self.sent.append((sender, reader, message))
        self.files[message.id] = data

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

    @rule(host=who)
    def lose_what_is_under_way(self, host: int) -> None:
        """Frames to one host vanish: as a broken cable does, links end by time-out."""
        self.world.inbox = deque(
            item
            for item in self.world.inbox
            if item[0] is not self.hosts[host] or not isinstance(item[1], Received)
        )

    @rule(host=who)
    def crash(self, host: int) -> None:
        self.hosts[host].crash()

    @rule(seconds=st.sampled_from([0.1, 1.0, 20.0, 90.0, 4_000.0]))
    def wait(self, seconds: float) -> None:
        self.world.run(seconds)

    @rule(hours=st.sampled_from([-14, -3, 0, 3, 14]))
    def set_clock(self, hours: int) -> None:
        """Everybody's clock jumps, by as much as a wrong time zone can be off."""
        self.world.wall = START + self.world.mono - 1_000.0 + hours * 3_600

    @invariant()
    def nothing_twice(self) -> None:
        if not hasattr(self, "hosts"):
            return
        for host in self.hosts[:2]:
            for other in self.hosts[:2]:
                texts = host.texts(contact_chat(other.node.fp))
                assert len(texts) == len(set(texts))

    @invariant()
    def states_are_true(self) -> None:
        for sender, reader, message in getattr(self, "sent", []):
            now = sender.store.message(message.id)
            assert now is not None, "an accepted message was lost"
            there = reader.store.message(message.id)
            assert (now.state is not State.DELIVERED) or there is not None
            if message.id in self.files and now.state is State.DELIVERED:
                assert reader.store.file(message.id) == self.files[message.id]
                assert sender.store.file(message.id) is None
            rank = ORDER[now.state]
            expired = [step.what for step in sender.store.journey(message.id)].count("expired")
            known, ends = self.ranks.get(message.id, (0, 0))
            # Only the end of every copy takes a state back, and only from carried to queued.
            assert rank >= known or (known == 1 and expired > ends), "a state went back"
            self.ranks[message.id] = (rank, expired)
            if there is not None:
                assert there.text == now.text and not there.outgoing

    def teardown(self) -> None:
        """However it was left, after a calm meeting of all everything has arrived."""
        if not hasattr(self, "sent"):
            return
        world = self.world
        world.settle()
        for host in self.hosts:
            for link in list(host.links):
                world.cut_link(host, link)
        world.settle()
        for _ in range(2):
            world.meet(self.hosts[0], self.hosts[1], 200)
        for sender, reader, message in self.sent:
            now = sender.store.message(message.id)
            assert now is not None
            if now.state is not State.FAILED:
                assert reader.store.message(message.id) is not None
                assert now.state is State.DELIVERED
        for host in self.hosts:
            assert not host.node._neighbours._transfers.from_link
            assert totals_match(host)


TestMeshWorld = MeshWorld.TestCase
TestMeshWorld.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestMeshWorld.pytestmark = [pytest.mark.timeout(400)]  # type: ignore[attr-defined]  # a minute of work
