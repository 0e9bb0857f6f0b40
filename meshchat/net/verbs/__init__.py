"""ONE table of verbs: what the control socket, the command line and the screens can ask for.

A verb takes a session and named arguments and returns plain data for JSON
(docs/reference/control-socket.md describes each shape). The running node, and
a command that opens the store by itself, use the same functions. Each module here has the verbs
of one area, with a table of its own.
"""

from collections.abc import Mapping

from meshchat.errors import UsageError
from meshchat.net.verbs import chats, files, groups, node, people, rooms
from meshchat.net.verbs.forms import event_json, message_json, transport_json
from meshchat.net.verbs.names import resolve, resolve_contact
from meshchat.net.verbs.node import status_json
from meshchat.net.verbs.session import Args, Json, Session, Verb
from meshchat.text import Clean

__all__ = [
    "VERBS",
    "Json",
    "Session",
    "call",
    "event_json",
    "message_json",
    "resolve",
    "resolve_contact",
    "status_json",
    "transport_json",
]

VERBS: dict[str, Verb] = {
    **people.VERBS,
    **rooms.VERBS,
    **groups.VERBS,
    **chats.VERBS,
    **files.VERBS,
    **node.VERBS,
}


async def call(session: Session, verb: str, args: Mapping[str, object]) -> Json:
    """Carry out one verb.

    Raises:
        UsageError: The verb, an argument or the wish itself is impossible.
        StoreError: It could not be stored.
    """
    row = VERBS.get(verb)
    if row is None:
        raise UsageError("unknown_verb", f"There is no verb {Clean.line(verb)!r}.")
    return await row.run(session, Args(row, args))
