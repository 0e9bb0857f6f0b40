"""Our negentropy as a program: the line protocol of the reference project's own tests.

Reads ``item,TIMESTAMP,HEXID``, ``seal``, ``initiate`` and ``msg,HEX`` from standard input, writes
``have,HEXID``, ``need,HEXID``, and then ``msg,HEX`` or ``done``. The environment variable
FRAMESIZELIMIT sets the frame limit in bytes.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from meshchat.core.negentropy import Negentropy, Vector


def main() -> None:
    """Answer every line until the input ends."""
    limit = int(os.environ.get("FRAMESIZELIMIT") or 0)
    items = Vector()
    talk: Negentropy | None = None
    for line in sys.stdin:
        verb, *rest = line.strip().split(",")
        if verb == "item":
            items.insert(int(rest[0]), bytes.fromhex(rest[1]))
        elif verb == "seal":
            items.seal()
            talk = Negentropy(items, limit)
        elif verb == "initiate" and talk:
            _send(talk.initiate(), limit)
        elif verb == "msg" and talk:
            reply, have, need = talk.reconcile(bytes.fromhex(rest[0]))
            lines = [f"have,{item_id.hex()}\n" for item_id in have]
            lines += [f"need,{item_id.hex()}\n" for item_id in need]
            sys.stdout.writelines(lines)
            _send(reply, limit)
        else:
            raise SystemExit(f"unknown line: {verb}")


def _send(message: bytes | None, limit: int) -> None:
    if message is not None and limit and len(message) > limit:
        raise SystemExit(f"{len(message)} bytes in a frame of {limit}")
    print("done" if message is None else f"msg,{message.hex()}", flush=True)


if __name__ == "__main__":
    main()
