"""The running node itself: its status, its end, the backup of its identity."""

import asyncio
import os

from msgspec.structs import asdict

from meshchat import __version__
from meshchat.core.identity import key_tag
from meshchat.i18n import N_
from meshchat.net.transport import TransportStatus
from meshchat.net.verbs.forms import neighbour_json, transport_json
from meshchat.net.verbs.session import Args, Json, Session, Verb

STOP_AFTER_S = 0.1  # time for the answer to "stop" to leave


async def _status(session: Session, _: Args) -> Json:
    return status_json(session)


def status_json(session: Session) -> Json:
    """Everything ``meshchat status`` tells."""
    status = session.runtime.status()
    node, trouble = status.node, status.trouble
    return {
        "version": __version__,
        "pid": os.getpid(),
        "running": session.serving,
        "fp": node.fp.hex(),
        "tag": key_tag(node.fp),
        "name": node.name,
        "home": str(session.profile.home),
        "transports": [transport_json(one) for one in _transports(session, status.transports)],
        "neighbours": [neighbour_json(session, one) for one in node.neighbours],
        "custody": asdict(node.custody),
        "queued": node.queued,
        "carried": node.carried,
        "counters": dict(node.counters),
        "trouble": {"reason": trouble.reason, "message": str(trouble)} if trouble else None,
    }


def _transports(
    session: Session, running: tuple[TransportStatus, ...]
) -> tuple[TransportStatus, ...]:
    """Every way there is to reach others: what does not run says why."""
    here = {one.name for one in running}
    off = []
    for name in ("lan", "ble"):
        if name in here:
            continue
        if session.serving:
            remedy = N_(f"Start without --no-{name}, and with [{name}] enabled in the settings.")
            off.append(TransportStatus(name, False, "switched_off", remedy))
        else:
            off.append(
                TransportStatus(name, False, "no_node", N_("Start meshchat, or: meshchat node"))
            )
    return (*running, *off)


async def _stop(session: Session, _: Args) -> Json:
    # after the answer has left: the loop runs this once the connection has been served
    asyncio.get_running_loop().call_later(STOP_AFTER_S, session.runtime.stop)
    return {"pid": os.getpid()}


async def _backup(session: Session, args: Args) -> Json:
    from meshchat import keyfile

    path, passphrase = session.profile.key_path, args.text("passphrase")
    await asyncio.to_thread(keyfile.unlock, path, passphrase)  # raises if it is the wrong one
    return {"words": list(session.runtime.node.seed_words())}


VERBS: dict[str, Verb] = {
    "status": Verb(_status, {}, {}),
    "stop": Verb(_stop, {}, {}),
    "backup": Verb(_backup, {"passphrase": str}, {}),
}
