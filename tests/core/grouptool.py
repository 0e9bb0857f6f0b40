"""A group of real nodes, and envelopes carried between them by hand."""

from collections.abc import Callable

from world import Host, World

from meshchat.core.envelope import envelope_id, parse_header, seal
from meshchat.core.epochs import signing_seed, step
from meshchat.core.events import AddContact, CreateGroup, MakeAdmin, Send
from meshchat.core.model import Epoch, Group, Held, Message
from meshchat.core.ports import Store
from meshchat.core.sealed import group_message
from meshchat.sim.memory import MemoryStore


def befriend(one: Host, other: Host) -> None:
    for host, friend in ((one, other), (other, one)):
        host.do(AddContact(friend.node.card_text()))


class GroupWorld:
    """Hosts who know each other; the first makes a group of some of them."""

    def __init__(
        self,
        names: tuple[str, ...],
        members: int,
        *,
        admins: int = 1,
        make_store: Callable[[], Store] = MemoryStore,
        strangers: tuple[tuple[int, int], ...] = (),
    ) -> None:
        """``strangers`` are pairs that do not know each other."""
        self.world = World(make_store=make_store)
        self.hosts = [self.world.host(name) for name in names]
        for place, host in enumerate(self.hosts):
            for before, other in enumerate(self.hosts[:place]):
                if (before, place) not in strangers:
                    befriend(host, other)
        self.world.run(1)
        first, *others = self.hosts[:members]
        made = first.do(CreateGroup("Hospital", tuple(other.node.fp for other in others)))
        assert isinstance(made, Group)
        self.gid = made.gid
        self.chat = b"g" + made.gid
        self.share()
        for host in self.hosts[1:admins]:
            first.do(MakeAdmin(self.gid, host.node.fp))
            self.share()

    def link_all(self, hosts: list[Host]) -> None:
        for place, host in enumerate(hosts):
            for other in hosts[:place]:
                self.world.link(host, other)

    def share(self, hosts: list[Host] | None = None) -> None:
        """Everything these hold reaches all of them, without links and so without proofs."""
        hosts = self.hosts if hosts is None else hosts
        moved = True
        while moved:
            moved = False
            for source in hosts:
                for target in hosts:
                    held = self.held(source)
                    for eid in held:
                        if target is not source and not target.store.known([eid]):
                            self.give(target, self.data(source, eid))
                            moved = True
            self.world.run(1)  # what waited for a key is tried again

    def meet_all(self, seconds: float = 70.0, hosts: list[Host] | None = None) -> None:
        """Everybody (of these) talks to everybody for a while; then they part."""
        hosts = self.hosts if hosts is None else hosts
        self.link_all(hosts)
        self.world.run(seconds)
        for host in hosts:
            for link in list(host.links):
                self.world.cut_link(host, link)
        self.world.settle()

    def write(self, host: Host, text: str) -> Message:
        sent = host.do(Send(self.chat, text))
        assert isinstance(sent, Message)
        return sent

    def roster(self, host: Host) -> list[tuple[str, bool]]:
        """Names and admin marks, as this host sees the group."""
        names = {other.node.fp[:16]: other.name for other in self.hosts}
        return sorted((names[one.fp], one.admin) for one in host.node.members(self.gid))

    def live(self, host: Host) -> list[bytes]:
        """The epochs this host would write on."""
        return [epoch.eid for epoch in host.node._chats.groups._talk.sendable(self.gid)]

    def epochs(self, host: Host) -> list[Epoch]:
        return [epoch for epoch in host.store.epochs() if epoch.gid == self.gid]

    def held(self, host: Host) -> list[bytes]:
        """Ids of what a host would hand on."""
        return [eid for eid, _ in host.store.offered(int(self.world.wall // 3_600))]

    def data(self, host: Host, eid: bytes) -> bytes:
        held = host.store.envelope(eid)
        assert held is not None
        return held.data

    def give(self, host: Host, data: bytes, *, again: bool = False) -> None:
        """An envelope reaches a host; ``again``: even if it has seen it."""
        node, now, eid = host.node, self.world.now, envelope_id(data)
        header = parse_header(data)
        with host.store.transaction():
            held: object = None
            if again:
                held = node._custody.held(data, header, eid, b"origin01")
                node._exchange._unheld.append(node._custody.held(data, header, eid, b"origin01"))
            elif not host.store.known([eid]):
                held = node._custody.admit(data, header, eid, b"origin01", True, now)
                if isinstance(held, Held):
                    node._exchange._fresh.append((held, False))
            node._settle(now)
            host.told += node._tells
            node._tells.clear()

    def forge(
        self,
        host: Host,
        epoch: Epoch,
        body: bytes,
        *,
        by: int | None = None,
        n: int | None = None,
        signer: Host | None = None,
    ) -> bytes:
        """An envelope a member makes with everything it knows, but not as it should."""
        me = [one.fp for one in epoch.members].index(host.node.fp[:16])
        place = me if by is None else by
        found = host.store.group_chain(epoch.eid, min(place, len(epoch.members) - 1))
        assert found is not None
        number, chain = found
        chain, key = step(chain)
        seed = signing_seed((signer or host).node._people.identity.seed, self.gid)
        where = self.gid + epoch.eid
        at = number if n is None else n
        return seal(
            lambda e: group_message(seed, where, place, at, key, e, body),
            body,
            int(self.world.wall // 3_600) + 100,
            host.entropy.bytes(16),
            want_proof=False,
            entropy=host.entropy,
            long_term_secret=bytes(32),
            counter=1,
            secret=epoch.head_key,
        )
