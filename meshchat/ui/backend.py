"""What the front ends need of whatever drives a node: the live runtime or a simulation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from meshchat.core.events import Command as Wish
    from meshchat.core.model import Now
    from meshchat.core.node import Node
    from meshchat.core.ports import Store
    from meshchat.net.runtime import News, RuntimeStatus


class Backend(Protocol):
    """A node that runs."""

    @property
    def store(self) -> Store: ...

    @property
    def node(self) -> Node: ...

    async def command(self, command: Wish) -> object:
        """Carry out a wish of our user. Raises ``MeshchatError``."""
        ...

    def subscribe(self, callback: Callable[[News], None]) -> Callable[[], None]:
        """Call ``callback`` with every event from now on; returns what ends that."""
        ...

    def status(self) -> RuntimeStatus:
        """A picture of this moment."""
        ...

    def now(self) -> Now:
        """Both clocks of the node."""
        ...

    def stop(self) -> None:
        """End soon. May be called again."""
        ...
