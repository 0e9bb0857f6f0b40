"""A stateful world of one group: two admins, partitions, loss, crashes, and a removed member."""

import random

import pytest
from grouptool import GroupWorld
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from world import START, Host

from meshchat.core.body import Body, BodyType, encode_body
from meshchat.core.envelope import open_sealed
from meshchat.core.events import (
    AddMember,
    LeaveGroup,
    RemoveMember,
    RenameGroup,
    ReportSeized,
    Send,
)
from meshchat.core.model import Membership, Message, State
from meshchat.errors import UsageError

NAMES = ("Aida", "Bolat", "Carl", "Dana", "Erik", "Fred")
ADMINS = 2
MEMBERS = 5

who = st.sampled_from(range(len(NAMES)))
admin = st.sampled_from(range(ADMINS))


class OneGroup(RuleBasedStateMachine):
    """Five of six are in it at first; nobody has a link, envelopes are carried by hand."""

    @initialize()
    def start(self) -> None:
        self.group = GroupWorld(NAMES, MEMBERS, admins=ADMINS)
        self.world, self.hosts = self.group.world, self.group.hosts
        self.side = [0] * len(NAMES)
        self.sent: dict[str, tuple[Host, Message]] = {}
        self.spy: dict[str, set[bytes]] = {name: set() for name in NAMES}
        self.put_out: set[str] = set()
        self.always = set(NAMES[:MEMBERS])  # never out since the beginning
        self.came = self.world.mono
        self.look()

    def look(self) -> None:
        """Somebody who keeps every key a node ever has."""
        for host in self.hosts:
            keys = (epoch.head_key for epoch in self.group.epochs(host))
            self.spy[host.name] |= {key for key in keys if key}

    def attempt(self, host: Host, command: object) -> bool:
        before = set(self.group.held(host))
        try:
            host.do(command)  # type: ignore[arg-type]
        except UsageError:
            return False
        self.look()
        self.nothing_for_the_removed(host, before)
        return True

    def nothing_for_the_removed(self, host: Host, before: set[bytes]) -> None:
        """What a node has sealed just now opens for no one whom it knows to be out."""
        inside = {name for name, _ in self.group.roster(host)}
        for eid in self.group.held(host):
            if eid in before:
                continue
            data = self.group.data(host, eid)
            for other in self.hosts:
                if other.name not in inside and host.name in inside:
                    keys = sorted(self.spy[other.name])
                    assert open_sealed(data, secrets=keys, prekeys=()) is None

    # --- what people do -----------------------------------------------------------------------

    @rule(place=who)
    def write(self, place: int) -> None:
        host, text = self.hosts[place], f"{NAMES[place]} {len(self.sent)}"
        before = set(self.group.held(host))
        try:
            message = host.do(Send(self.group.chat, text))
        except UsageError:
            assert host.name not in {name for name, _ in self.group.roster(host)}
            return
        assert isinstance(message, Message)
        self.sent[text] = (host, message)
        self.nothing_for_the_removed(host, before)

    @rule(by=admin, place=who)
    def add(self, by: int, place: int) -> None:
        if self.attempt(self.hosts[by], AddMember(self.group.gid, self.hosts[place].node.fp)):
            self.put_out.add(NAMES[place])  # it does not count if this admin is removed meanwhile

    @rule(by=admin, place=who)
    def remove(self, by: int, place: int) -> None:
        fp = self.hosts[place].node.fp
        if self.attempt(self.hosts[by], RemoveMember(self.group.gid, fp)):
            self.always.discard(NAMES[place])

    @rule(by=who, place=who)
    def seized(self, by: int, place: int) -> None:
        if self.attempt(self.hosts[by], ReportSeized(self.hosts[place].node.fp)):
            self.always.discard(NAMES[place])
            self.put_out.add(NAMES[place])

    @rule(place=st.sampled_from(range(ADMINS, len(NAMES))))
    def leave(self, place: int) -> None:
        if self.attempt(self.hosts[place], LeaveGroup(self.group.gid)):
            self.always.discard(NAMES[place])

    @rule(by=admin, name=st.sampled_from(["Hospital", "Ward 3"]))
    def rename(self, by: int, name: str) -> None:
        self.attempt(self.hosts[by], RenameGroup(self.group.gid, name))

    # --- what happens to mail -----------------------------------------------------------------

    @rule(side=st.lists(st.integers(0, 2), min_size=len(NAMES), max_size=len(NAMES)))
    def partition(self, side: list[int]) -> None:
        self.side = side

    @rule(one=who, other=who, seed=st.integers(0, 1_000), lost=st.sampled_from([0.0, 0.5]))
    def carry(self, one: int, other: int, seed: int, lost: float) -> None:
        """Some of what one holds reaches another, in any order, some of it twice."""
        if one == other or self.side[one] != self.side[other]:
            return
        chance, source, target = random.Random(seed), self.hosts[one], self.hosts[other]
        eids = [eid for eid in self.group.held(source) if not target.store.known([eid])]
        chance.shuffle(eids)
        before = set(self.group.held(target))
        for eid in eids:
            if chance.random() >= lost:
                data = self.group.data(source, eid)
                self.group.give(target, data)
                before.add(eid)
                if chance.random() < 0.2:
                    self.group.give(target, data, again=True)
        self.look()
        self.nothing_for_the_removed(target, before)

    @rule(one=who, other=who, seed=st.integers(0, 100_000))
    def tamper(self, one: int, other: int, seed: int) -> None:
        """A flipped bit changes nothing anybody sees."""
        chance, source, target = random.Random(seed), self.hosts[one], self.hosts[other]
        eids = self.group.held(source)
        if one == other or not eids:
            return
        data = bytearray(self.group.data(source, chance.choice(eids)))
        at = chance.randrange(16, len(data))
        data[at] ^= 1 << chance.randrange(8)
        texts, epochs = target.texts(self.group.chat), self.group.epochs(target)
        self.group.give(target, bytes(data), again=True)
        assert (target.texts(self.group.chat), self.group.epochs(target)) == (texts, epochs)

    @rule(one=who, other=who, by=who)
    def forge(self, one: int, other: int, by: int) -> None:
        """A member signs in the name of another."""
        source, target = self.hosts[one], self.hosts[other]
        for epoch in self.group.epochs(source):
            fps = [member.fp for member in epoch.members]
            victim = self.hosts[by].node.fp[:16]
            if epoch.head_key and victim in fps and by != one and source.node.fp[:16] in fps:
                body = encode_body(Body(BodyType.TEXT, bytes(8), 1, "FORGED"))
                data = self.group.forge(source, epoch, body, by=fps.index(victim))
                self.group.give(target, data)

    @rule(place=who)
    def crash(self, place: int) -> None:
        self.hosts[place].crash()

    @precondition(lambda self: self.world.mono < self.came + 40 * 3_600)
    @rule(seconds=st.sampled_from([1.0, 700.0, 4_000.0, 30_000.0]))
    def wait(self, seconds: float) -> None:
        held = [set(self.group.held(host)) for host in self.hosts]
        self.world.run(seconds)
        self.look()
        for host, before in zip(self.hosts, held, strict=True):
            self.nothing_for_the_removed(host, before)

    @rule(hours=st.sampled_from([-14, -3, 0, 3, 14]))
    def set_clock(self, hours: int) -> None:
        self.world.wall = START + self.world.mono - 1_000.0 + hours * 3_600

    # --- what stays true ----------------------------------------------------------------------

    @invariant()
    def each_message_once_and_from_its_author(self) -> None:
        for host in getattr(self, "hosts", []):
            messages = host.store.messages(self.group.chat)
            texts = [message.text for message in messages]
            assert len(texts) == len(set(texts)), f"{host.name} sees something twice"
            assert "FORGED" not in texts
            for message in messages:
                author = self.sent[str(message.text)][0]
                assert author.node.fp.startswith(message.author)
                assert message.outgoing is (author is host)

    def agreed(self) -> list[Host]:
        """Those who list each other and nobody else. The others were put out without a word."""
        found: list[list[Host]] = [[]]
        members = {
            host.name
            for host in self.hosts
            for known in host.store.groups()
            if known.gid == self.group.gid and known.membership is Membership.MEMBER
        }
        for host in self.hosts:
            roster = self.group.roster(host)
            listed = [other for other in self.hosts if other.name in {name for name, _ in roster}]
            if listed and all(self.group.roster(other) == roster for other in listed):
                found.append(listed)
        inside = max(found, key=len)
        stale = members - {host.name for host in inside}
        assert stale <= self.put_out, f"they never heard of it: {stale}"
        return inside

    def teardown(self) -> None:
        """However it was left: once all have met, all agree, and everybody reads everybody."""
        if not hasattr(self, "sent"):
            return
        group = self.group
        self.world.wall = START + self.world.mono - 1_000.0
        for host in self.hosts:
            for other in self.hosts:  # a report nobody acted on is taken back
                self.attempt(host, ReportSeized(other.node.fp, seized=False))
        for _ in range(6):
            group.share()
            self.world.run(4_000.0)
        group.meet_all()
        inside = self.agreed()
        if any(group.live(host) != group.live(inside[0]) for host in inside):
            # Who missed epochs may keep two lines that say the same; the next rekey names both.
            admins = [name for name, is_admin in group.roster(inside[0]) if is_admin]
            admin = next(host for host in inside if host.name in admins)
            assert self.attempt(admin, RenameGroup(group.gid, "The same for all"))
            group.meet_all()
            assert self.agreed() == inside
        for host in inside[1:]:
            assert group.live(host) == group.live(inside[0]), "heads differ"
            assert host.store.groups()[0].name == inside[0].store.groups()[0].name
        for host in inside:
            text = f"last words of {host.name}"
            self.sent[text] = (host, group.write(host, text))
        group.share()
        for host in inside:
            for other in inside:
                assert f"last words of {other.name}" in host.texts(group.chat)
        for text, (author, message) in self.sent.items():
            state = author.store.message(message.id)
            assert state is not None
            if author.name in self.always and state.state is not State.FAILED:
                for host in self.hosts:
                    if host.name in self.always:
                        assert text in host.texts(group.chat), f"{host.name} lacks {text!r}"
        self.each_message_once_and_from_its_author()


TestOneGroup = OneGroup.TestCase
TestOneGroup.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestOneGroup.pytestmark = [pytest.mark.timeout(400)]  # type: ignore[attr-defined]  # a minute of work
