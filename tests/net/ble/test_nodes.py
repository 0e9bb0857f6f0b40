"""Whole nodes over the product's own central and transport, on virtual radios."""

import asyncio
import random
from collections import Counter

import pytest
from air import Air
from nodes import VirtualNode, befriend, running

from meshchat.net.ble.limits import LINKS_HARD_MAX
from meshchat.net.lan import LanTransport


@pytest.mark.parametrize("mtu", [23, 247, 517])
async def test_two_nodes_find_each_other_and_chat(mtu: int) -> None:
    """No network, no pairing: one link, a short and a long text, at every size of packets."""
    air = Air()
    one, two = VirtualNode(air, 1, mtu), VirtualNode(air, 2, mtu)
    async with running(one, two):
        await befriend(one, two)
        await one.say(two, "hello")
        await two.until(lambda: "hello" in two.texts)
        long = "x" * 5_000
        await two.say(one, long)
        await one.until(lambda: long in one.texts)
        assert one.neighbours == two.neighbours == ["ble"]
        links = [n for node in (one, two) for n in node.runtime.status().node.neighbours]
        assert sorted(link.outbound for link in links) == [False, True]


async def test_five_nodes_are_one_mesh() -> None:
    """Everybody in reach of everybody: texts between all pairs, and no more links than wanted."""
    air = Air()
    nodes = [VirtualNode(air, n) for n in range(5)]
    async with running(*nodes):
        for at, node in enumerate(nodes):
            for other in nodes[:at]:
                await befriend(node, other)
        for node in nodes:
            for other in nodes:
                if other is not node:
                    await node.say(other, f"{node.name} to {other.name}")
        for node in nodes:
            await node.until(lambda node=node: len(node.texts) == 4)  # type: ignore[misc]
            assert len(set(node.texts)) == 4


async def test_thirty_nodes_carry_a_text_to_all() -> None:
    """A crowd in one room: nobody has many links, all are joined, and strangers carry."""
    air = Air()
    nodes = [VirtualNode(air, n) for n in range(30)]
    async with running(*nodes):
        first, last = nodes[0], nodes[-1]
        await befriend(first, last)
        await first.say(last, "through the crowd")
        await last.until(lambda: last.texts)
        for node in nodes:
            await node.until(lambda node=node: node.neighbours)  # type: ignore[misc]
        assert max(len(node.neighbours) for node in nodes) <= LINKS_HARD_MAX


async def test_a_tenth_of_all_packets_is_lost() -> None:
    """Lost in the queues of the system: sent again, and nothing is missing."""
    air = Air()
    one, two = VirtualNode(air, 1, 247), VirtualNode(air, 2, 247)
    chance = random.Random(7)
    for node in (one, two):
        node.device.loss = lambda _: chance.random() < 0.1
    async with running(one, two):
        await befriend(one, two)
        long = "y" * 6_900
        await one.say(two, long)
        await two.say(one, "short")
        await two.until(lambda: long in two.texts)
        await one.until(lambda: "short" in one.texts)


async def test_a_partition_heals() -> None:
    """Two groups that do not hear each other, then do: what was written meanwhile arrives."""
    air = Air()
    nodes = [VirtualNode(air, n) for n in range(4)]
    async with running(*nodes):
        await befriend(nodes[0], nodes[3])
        left = {nodes[0].device.radio, nodes[1].device.radio}
        for one in nodes[:2]:
            for other in nodes[2:]:
                air.cut(one.device.radio, other.device.radio)
        air.hears = lambda a, b: (a in left) == (b in left)
        await nodes[0].say(nodes[3], "over there?")
        await nodes[1].until(lambda: nodes[1].runtime.status().node.custody.carried)
        assert not nodes[3].texts
        air.hears = lambda a, b: True
        await nodes[3].until(lambda: nodes[3].texts)


async def test_two_without_tokens_dial_each_other() -> None:
    """As two Macs: nobody yields, both may dial, and one link comes of it."""
    air = Air()
    one, two = VirtualNode(air, 1), VirtualNode(air, 2)
    for node in (one, two):
        node.device.peripheral.tokenless = True
    async with running(one, two):
        await befriend(one, two)
        await one.say(two, "hello")
        await two.until(lambda: two.texts)
        await two.say(one, "hi")
        await one.until(lambda: one.texts)
        assert len(one.neighbours) == len(two.neighbours) == 1


async def test_a_slow_reader_delays_nobody_else() -> None:
    """One neighbour at 4 kB/s: little waits for it, and the other one is served at once."""
    air = Air()
    one, slow, quick = (VirtualNode(air, n) for n in range(3))
    one.device.rate = 4_000.0
    async with running(one, slow, quick):
        await befriend(one, slow)
        await befriend(one, quick)
        for node in (slow, quick):
            await node.until(lambda node=node: node.neighbours)  # type: ignore[misc]
        for n in range(4):
            await one.say(slow, "z" * 6_990 + str(n))
        await one.say(quick, "quick")
        await quick.until(lambda: "quick" in quick.texts)
        waiting = [link.framer.backlog for link in one.ble._links.values()]
        assert max(waiting) <= 66_560  # two windows of the core
        await slow.until(lambda: len(slow.texts) == 4)


STEPS = [1, 2, 4, 7, 10, 13, 16, 19, 24]


async def test_a_peer_that_vanishes_at_every_step_is_found_again() -> None:
    """Its radio goes after so many packets of the connection: discovery, INFO, subscription,
    greeting, handshake, first mail. Each time the other notices, and links when it is back."""
    air = Air()
    one, two = VirtualNode(air, 1), VirtualNode(air, 2)
    async with running(one, two):
        await befriend(one, two)
        for step in STEPS:
            await one.until(lambda: one.neighbours)
            two.device.power_off()
            await one.until(lambda: not one.neighbours)
            gone = asyncio.Event()
            air.data = []
            air.on_data = lambda: _vanish(air, two, step, gone)  # noqa: B023
            await two.device.power_on()
            await gone.wait()
            air.on_data = None
            await two.device.power_on()
            await one.say(two, f"after {step}")
            await two.until(lambda step=step: f"after {step}" in two.texts)  # type: ignore[misc]
    assert Counter(two.texts) == Counter(f"after {step}" for step in STEPS)


async def test_bluetooth_and_lan_are_bridged_and_the_lan_is_kept() -> None:
    """One node in both worlds passes mail between a node with Bluetooth alone and one with LAN
    alone. Two that have both keep the LAN link, and do not dial each other again and again by
    radio."""
    air = Air()
    hub = LanTransport(listen=("127.0.0.1", 0), discover=False)
    bridge = VirtualNode(air, 1, more=(hub,))
    far = VirtualNode(air, 2)
    async with running(bridge, far):
        await bridge.until(lambda: hub.status().detail["port"])
        port = hub.status().detail["port"]
        both = VirtualNode(
            air, 3, more=(LanTransport(peers=[f"127.0.0.1:{port}"], discover=False),)
        )
        wired = VirtualNode(
            air, 4, more=(LanTransport(peers=[f"127.0.0.1:{port}"], discover=False),)
        )
        wired.device.peripheral.trouble = "no_adapter"
        async with running(both, wired):
            await befriend(far, wired)
            await far.say(wired, "from the air")
            await wired.until(lambda: wired.texts)
            await wired.say(far, "from the wire")
            await far.until(lambda: far.texts)
            assert wired.neighbours == ["lan"]
            await both.until(lambda: "lan" in both.neighbours)
            await both.until(lambda: both.counters.get("links_duplicate", 0) or _once(both))
            assert sorted(both.neighbours) in (["ble", "lan"], ["lan"])
            lan_keys = {
                n.tag for n in both.runtime.status().node.neighbours if n.transport == "lan"
            }
            ble_keys = {
                n.tag for n in both.runtime.status().node.neighbours if n.transport == "ble"
            }
            assert not lan_keys & ble_keys
            await asyncio.sleep(30)  # of virtual time
            spared = [node.counters.get("links_duplicate", 0) for node in (bridge, both)]
            await asyncio.sleep(200)
            assert spared == [node.counters.get("links_duplicate", 0) for node in (bridge, both)]


def _vanish(air: Air, node: VirtualNode, step: int, gone: asyncio.Event) -> None:
    if len(air.data or ()) == step:
        gone.set()
        node.device.power_off()


def _once(node: VirtualNode) -> bool:
    tags = [n.tag for n in node.runtime.status().node.neighbours]
    return len(tags) > 1 and len(set(tags)) == len(tags)
