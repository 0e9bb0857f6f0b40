"""What stands on the air and in the attribute table (wire.md 1.8): names and the advert.

The advert is flags, the service UUID and the token: 3 + 18 + 10 of the 31 bytes that every
radio can send. No name, no address of ours, no power level.
"""

from collections.abc import Mapping

from meshchat.net.ble.limits import TOKEN_BYTES, VERSION

COMPANY = 0xFFFF  # reserved for tests, so it names nobody; the Bluetooth SIG gives numbers to firms
ATT_HEAD_BYTES = 3
VALUE_MAX_BYTES = 512  # of any attribute; what is longer is not ours

# A random base; another last digit is another characteristic, another base would be a version
# that cannot talk with this one.
_BASE = "61b56bfd-b66a-4893-ba3a-39342807{:04x}"
SERVICE = _BASE.format(0)
RX = _BASE.format(1)
"""Written by the dialler: write, write without response."""
TX = _BASE.format(2)
"""Notified to the dialler."""
INFO = _BASE.format(3)
"""Read by the dialler: ``INFO_VALUE``."""
INFO_VALUE = b"MC" + bytes((VERSION,))


def token_of(manufacturer_data: Mapping[int, bytes]) -> bytes:
    """The token of an advert, or nothing: not every system can send one, and any can be rubbish."""
    token = bytes(manufacturer_data.get(COMPANY, b""))
    return token if len(token) == TOKEN_BYTES and any(token) else b""
