"""Whole nodes on virtual radios: runtime, store and the Bluetooth transport, in one process."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from air import Air
from virtual import VirtualDevice
from virtual_time import VirtualLoop, loop_now

from meshchat.core.events import AddContact, MessageAdded, Send, Tell
from meshchat.core.model import Contact, Message
from meshchat.core.node import Node
from meshchat.net.ble.central import BleakCentral
from meshchat.net.ble.radio import Central, Ear, Peripheral
from meshchat.net.ble.transport import BleTransport
from meshchat.net.runtime import Runtime
from meshchat.net.transport import Transport, TransportStatus
from meshchat.store import SqlStore
from meshchat.system import SystemEntropy, system_now

LIMIT_S = 60.0  # against hangs; whoever waits longer has failed


class VirtualRadio:
    """What the transport opens in the place of the system's radio."""

    def __init__(self, device: VirtualDevice) -> None:
        self.device = device

    def peripheral(self) -> Peripheral:
        return self.device.peripheral

    def central(self, ear: Ear, adapter: str) -> Central:
        return BleakCentral(ear, backend=self.device.backend)


class VirtualNode:
    """A person's node. With ``on=False`` its adapter has no power yet."""

    def __init__(
        self, air: Air, index: int, mtu: int = 517, more: tuple[Transport, ...] = ()
    ) -> None:
        self.name = f"p{index}"
        self.device = VirtualDevice(air, index, mtu)
        clock = loop_now if isinstance(asyncio.get_running_loop(), VirtualLoop) else system_now
        self.ble = BleTransport("always", radio=VirtualRadio(self.device), clock=clock)
        store = SqlStore.memory()
        with store.transaction():
            Node.create(store, SystemEntropy(), clock(), self.name)
        self.store = store
        self.runtime = Runtime(
            store, lambda now: Node(store, SystemEntropy(), now), (self.ble, *more), clock
        )
        self.runtime.subscribe(self._hear)
        self.texts: list[str] = []
        self._more = asyncio.Event()

    def _hear(self, news: Tell | TransportStatus) -> None:
        if isinstance(news, MessageAdded) and not news.message.outgoing:
            self.texts.append(str(news.message.text))
        self._more.set()

    @property
    def neighbours(self) -> list[str]:
        """The transports of its links, once greeted."""
        return [one.transport for one in self.runtime.status().node.neighbours]

    @property
    def counters(self) -> dict[str, int]:
        return dict(self.runtime.status().node.counters)

    async def until(self, true: Callable[[], object], timeout: float = LIMIT_S) -> None:
        """Wait for what makes this true; looked at after each piece of news."""
        try:
            async with asyncio.timeout(timeout):
                while not true():
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:
            raise AssertionError(f"{self.name}: {self.ble.status()}, {self.texts}") from None

    async def knows(self, other: "VirtualNode") -> bytes:
        """Add a contact; returns its fingerprint."""
        contact = await self.runtime.command(AddContact(other.runtime.node.card_text()))
        assert isinstance(contact, Contact)
        return contact.fp

    async def say(self, other: "VirtualNode", text: str) -> Message:
        """Write to somebody who is known."""
        message = await self.runtime.command(Send(b"c" + other.runtime.node.fp, text))
        assert isinstance(message, Message)
        return message


async def befriend(one: VirtualNode, other: VirtualNode) -> None:
    """Both add each other."""
    await one.knows(other)
    await other.knows(one)


@asynccontextmanager
async def running(*nodes: VirtualNode, power: bool = True) -> AsyncIterator[None]:
    """Run nodes, with their adapters on."""
    try:
        async with asyncio.TaskGroup() as group:
            for node in nodes:
                if power:
                    await node.device.power_on()
                group.create_task(node.runtime.run())
            try:
                yield
            finally:
                for node in nodes:
                    node.runtime.stop()
    finally:
        for node in nodes:
            await node.device.close()
            node.store.close()
