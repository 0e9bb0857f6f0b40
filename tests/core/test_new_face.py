"""A radio that takes another name takes the node key with it, unless a link shows it anyway."""

from meshchat.core.events import LinkDown, LinkUp, NewFace
from meshchat.core.model import Now
from meshchat.core.node import Node
from meshchat.sim.memory import MemoryStore
from meshchat.system import SystemEntropy

NOW = Now(1_000.0, 1_800_000_000.0)


def key_of_next_link(node: Node, link: int) -> bytes:
    """The node key that a new link is begun with."""
    node.handle(LinkUp(link, "ble", True, 4_096, b"p", b"o", supervised=True), NOW)
    return node._neighbours._key.public


def test_the_key_changes_with_the_face_when_nobody_is_linked() -> None:
    """And only then: a key that an open link knows would gain nothing."""
    store = MemoryStore()
    with store.transaction():
        Node.create(store, SystemEntropy(), NOW, "a")
        node = Node(store, SystemEntropy(), NOW)
        first = key_of_next_link(node, 1)
        node.handle(NewFace(), NOW)
        assert key_of_next_link(node, 2) == first
        for link in (1, 2):
            node.handle(LinkDown(link), NOW)
        node.handle(NewFace(), NOW)
        assert key_of_next_link(node, 3) != first
