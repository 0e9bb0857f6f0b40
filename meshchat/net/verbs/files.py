"""Files to contacts and from them. Their bytes come and go over the socket, never a path.

So whoever asks reads and writes with their own rights: a program kept away from
a folder cannot have the node fetch it, and a node kept away from the user's
folders, as a service is, can send files all the same.
"""

import base64
import secrets

from meshchat.core.events import SendFile
from meshchat.core.files import DAMAGED, ENDED, OPEN, named_in
from meshchat.core.model import NOTE_FILE, Message
from meshchat.core.ports import Store
from meshchat.core.sealed import FILE_MAX_BYTES
from meshchat.downloads import saved_name
from meshchat.errors import UsageError
from meshchat.i18n import N_
from meshchat.net.verbs.forms import message_json
from meshchat.net.verbs.names import resolve, resolve_message
from meshchat.net.verbs.session import Args, Json, Session, Verb
from meshchat.text import Clean

UPLOADS_MAX = 4  # begun and not sent yet: of two programs at once, and two that went away
UPLOAD_NAME_BYTES = 8

_NOT_WHOLE = {
    OPEN: N_("Parts of this file have not come yet; see: meshchat message ID"),
    DAMAGED: N_("This file came damaged; ask for it again."),
    ENDED: N_("The rest of this file did not come in time; ask for it again."),
}


def _joined(session: Session, args: Args) -> bytes:
    """What was kept of a file that is being handed over, and the part in ``data``."""
    upload = args.text("upload")
    if upload and upload not in session.uploads:
        raise UsageError("unknown_upload", "This file is not being handed over; begin it again.")
    try:
        data = base64.b64decode(args.text("data"), validate=True)
    except ValueError:
        raise UsageError("bad_data", "The argument 'data' must be base64.") from None
    whole = session.uploads.pop(upload, b"") + data
    if len(whole) > FILE_MAX_BYTES:
        raise UsageError(
            "file_too_large",
            f"A file has at most {FILE_MAX_BYTES} bytes. Make it smaller or send it in parts.",
        )
    return whole


async def _file_part(session: Session, args: Args) -> Json:
    """Keep a part until the last one comes with ``send_file``."""
    begun = _joined(session, args)
    upload = args.text("upload") or secrets.token_hex(UPLOAD_NAME_BYTES)
    while len(session.uploads) >= UPLOADS_MAX:  # the one that waits longest is nobody's any more
        del session.uploads[next(iter(session.uploads))]
    session.uploads[upload] = begun
    return {"upload": upload, "size_bytes": len(begun)}


async def _send_file(session: Session, args: Args) -> Json:
    data = _joined(session, args)
    chat = resolve(session, args.text("to"), whole=True)
    message = await session.runtime.command(SendFile(chat, args.text("name"), data))
    assert isinstance(message, Message)
    return {"message": message_json(session, message)}


def whole_file(store: Store, message: Message) -> tuple[Clean, bytes]:
    """Name and bytes of a file that came.

    Raises:
        UsageError: There is none in this message, or it is not whole (yet).
    """
    if message.note != NOTE_FILE:
        raise UsageError("no_file", "There is no file in this message.")
    if message.outgoing:
        raise UsageError("own_file", "You sent this file: it is where you took it from.")
    if message.reason in _NOT_WHOLE:
        raise UsageError(message.reason, _NOT_WHOLE[message.reason])
    data = store.file(message.id)
    if data is None:
        raise UsageError("file_gone", "This file is not here any more: it was deleted.")
    return named_in(message.text), data


async def _read_file(session: Session, args: Args) -> Json:
    """A file of others that is whole. Whoever asks may save it."""
    message = resolve_message(session, args.text("id"))
    name, data = whole_file(session.runtime.store, message)
    return {
        "message": message_json(session, message),
        "name": name,
        "save_as": saved_name(name, data),
        "size_bytes": len(data),
        "data": base64.b64encode(data).decode("ascii"),
    }


VERBS: dict[str, Verb] = {
    "file_part": Verb(_file_part, {"data": str}, {"upload": str}),
    "send_file": Verb(_send_file, {"to": str, "name": str, "data": str}, {"upload": str}),
    "read_file": Verb(_read_file, {"id": str}, {}),
}
