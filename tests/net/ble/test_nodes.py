"""Whole nodes over the product's own central and transport, on virtual radios."""

import asyncio

import pytest
from air import Air
from nodes import VirtualNode, befriend, running


@pytest.mark.parametrize("mtu", [23, 247, 517])
async def test_two_nodes_find_each_other_and_chat(mtu: int) -> None:
    """No network, no pairing: one link, messages and a long text both ways, and receipts."""
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
        assert sum(n.outbound for n in one.runtime.status().node.neighbours) + sum(
            n.outbound for n in two.runtime.status().node.neighbours
        ) == 1
