"""Bumble describes every packet for a log that nobody reads, and seeks each UUID among all the
names that it knows: half of the work of these tests. Imported for its effect."""

from typing import Any

from bumble import att, controller, device, gatt, gatt_client, gatt_server, hci, host, l2cap, smp
from bumble.core import UUID

_known: dict[bytes, UUID] = {uuid.uuid_128_bytes: uuid for uuid in UUID.UUIDS}


def _no_words(*_: Any, **__: Any) -> str:
    return ""


def _register(self: UUID) -> UUID:
    found = _known.setdefault(self.uuid_128_bytes, self)
    found.name = found.name or self.name
    return found


for module in (att, controller, device, gatt, gatt_client, gatt_server, hci, host, l2cap, smp):
    module.color = _no_words  # type: ignore[attr-defined]
hci.HCI_Object.format_fields = staticmethod(_no_words)  # type: ignore[method-assign]
UUID.register = _register  # type: ignore[method-assign]
