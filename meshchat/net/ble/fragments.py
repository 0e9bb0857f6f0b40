"""What all fragments have in common (wire.md 1.8): their head, and what an ACK says is missing."""

from struct import Struct

DATA, ACK, POLL, OPEN, ACCEPT, BYE = range(6)
LAST = 0x80  # of a frame
NOW = 0x40  # acknowledge at once
KIND = 0x07
INDEX_MAX = 2_047  # in an ACK: up to the end, if that has left
OVERTAKEN = 2_046  # up to the end, which has: a later frame came first
NUMBERS = 256
RANGE = Struct("<BHH")  # number, first and last index that is missing
_HIGH = 0x38  # bits 8 to 10 of the index
_HIGH_SHIFT = 5


def head(tag: int, flags: int, number: int, index: int) -> bytes:
    """The four bytes before a fragment's body; ``flags`` hold the kind too."""
    return bytes((tag, flags | (index >> _HIGH_SHIFT) & _HIGH, number, index & 0xFF))


def index_of(flags: int, low: int) -> int:
    """The index in a head, 0 to 2,047."""
    return low | (flags & _HIGH) << _HIGH_SHIFT
