"""Everything that can go into a Node and come out of it.

A driver (asyncio or virtual time) feeds events to ``Node.handle`` inside one
store transaction, commits, then carries out the effects in order.
"""

from msgspec import Struct

from meshchat.core.events.commands import *
from meshchat.core.events.commands import Command, Done, Refused
from meshchat.core.events.links import *
from meshchat.core.events.links import CloseLink, LinkDown, LinkUp, NewFace, Received, SendFrames
from meshchat.core.events.tells import *
from meshchat.core.events.tells import Tell


class Wake(Struct, frozen=True):
    """The time given by ``Node.next_wakeup`` has come."""


Event = LinkUp | LinkDown | Received | NewFace | Wake | Command
Effect = SendFrames | CloseLink | Done | Refused | Tell
