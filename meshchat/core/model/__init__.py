"""Values the whole product speaks in: people, rooms, messages, what we hold for others.

Plain frozen data, a module for each subject; everybody else takes them from here. Text that came
from a peer is ``Clean`` from the moment it is read back from a store, so no screen, log or file
name can meet raw peer bytes.
"""

from meshchat.core.model.chats import *
from meshchat.core.model.clocks import *
from meshchat.core.model.envelopes import *
from meshchat.core.model.files import *
from meshchat.core.model.groups import *
from meshchat.core.model.messages import *
from meshchat.core.model.people import *
from meshchat.core.model.rooms import *
from meshchat.core.model.sessions import *
from meshchat.core.model.status import *
