"""Simulated peers: the real node in virtual time.

For testers' own suites (docs/howto/test-with-simulated-peers.md)::

    from meshchat.sim import World
"""

from meshchat.sim.links import Radio
from meshchat.sim.person import Person
from meshchat.sim.ways import Change, Contact, Wanted, changes, merged
from meshchat.sim.world import World

__all__ = ["Change", "Contact", "Person", "Radio", "Wanted", "World", "changes", "merged"]
