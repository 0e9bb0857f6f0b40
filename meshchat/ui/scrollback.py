"""What is loaded of one chat: for each message where it stands, and its text in pages.

For every message only its ``seq``, its length and its time are held; heights are
estimated from those until somebody lays a row out. Text comes from the store in pages.
"""

from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable
from datetime import datetime

from meshchat.core.model import ChatId, Message
from meshchat.core.ports import Store
from meshchat.ui.lines import Heights, day_number

PAGE_ROWS = 64  # one read from the store: three screens of an ordinary terminal
PAGES_MAX = 32  # 2,048 messages with their text in memory
FIRST_ROWS = 128  # two pages, read before the first paint: opening costs the same for any length


class Scrollback:
    """The messages of one chat, oldest first; a row is the number of one of them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.clear(b"")

    def __len__(self) -> int:
        return len(self.seqs)

    @property
    def lines(self) -> int:
        """Height of all, partly guessed."""
        return self.heights.total

    def clear(self, chat: ChatId) -> None:
        """Go on with another chat, or with none: nothing of it is loaded."""
        self.chat = chat
        self.seqs = array("q")
        self.heights = Heights()
        self.whole = True
        """Everything is loaded, not only what was read first."""
        self.tail = True
        """The newest message is loaded."""
        self._chars = array("l")
        self._days = array("l")
        self._pages: OrderedDict[int, dict[int, Message]] = OrderedDict()

    def open(self, chat: ChatId, read_seq: int) -> int:
        """Load what is looked at first of a chat; returns the seq of its first new message or 0.

        That is the end of the chat, or the surroundings of what is new if there is more of it.
        """
        self.clear(chat)
        messages = self._store.messages(chat, limit=FIRST_ROWS)
        unread = self._store.messages(chat, after=read_seq, limit=FIRST_ROWS)
        new_seq = next((m.seq for m in unread if not m.outgoing), 0)
        self.whole = len(messages) < FIRST_ROWS
        if new_seq and messages[0].seq > new_seq:  # more new than the first page holds
            seen = self._store.messages(chat, before=unread[0].seq, limit=FIRST_ROWS // 2)
            messages, self.tail = seen + unread, False
        self._fill([(m.seq, len(m.text), m.received_at) for m in messages])
        return new_seq

    def load_whole(self) -> None:
        """Load where all the rest stands."""
        self.whole = self.tail = True
        self._fill(self._store.message_sizes(self.chat))

    def load_again(self) -> None:
        """Messages were destroyed: hold what is left of what was loaded."""
        first, last = self.seqs[0], self.seqs[-1]
        sizes = self._store.message_sizes(self.chat)
        if not self.whole:
            sizes = [s for s in sizes if s[0] >= first and (self.tail or s[0] <= last)]
        self._fill(sizes)

    def _fill(self, sizes: Iterable[tuple[int, int, float]]) -> None:
        offset = datetime.now().astimezone().utcoffset()
        shift = offset.total_seconds() if offset else 0.0
        self.seqs, self._chars, self._days = array("q"), array("l"), array("l")
        for seq, chars, at in sizes:
            self.seqs.append(seq)
            self._chars.append(chars)
            self._days.append(int((at + shift) // 86_400))
        self._pages.clear()

    def estimate(self, width: int, extra: int) -> None:
        """Guess all heights.

        Args:
            width: Cells of a line of text.
            extra: Lines of each message beside its text.
        """
        previous = None
        heights = array("H")
        for chars, day in zip(self._chars, self._days, strict=True):
            lines = 1 + extra + chars // width
            heights.append(lines + 1 if day != previous else lines)
            previous = day
        self.heights = Heights(heights)

    def append(self, message: Message, width: int) -> None:
        """Take in a message that is newer than all; its height is guessed for this width."""
        number = len(self.seqs) // PAGE_ROWS
        if len(self.seqs) % PAGE_ROWS == 0 or number in self._pages:
            self._pages.setdefault(number, {})[message.seq] = message
        self.seqs.append(message.seq)
        self._chars.append(len(message.text))
        self._days.append(day_number(message.received_at))
        self.heights.append(1 + len(message.text) // width)

    def replace(self, message: Message) -> bool:
        """Hold the new state of a message; False if it is not loaded."""
        row = self.row(message.seq) if message.chat == self.chat else None
        if row is None:
            return False
        if (page := self._pages.get(row // PAGE_ROWS)) is not None:
            page[message.seq] = message
        return True

    def row(self, seq: int) -> int | None:
        """Which row a message is, if it is loaded."""
        row = bisect_left(self.seqs, seq)
        return row if row < len(self.seqs) and self.seqs[row] == seq else None

    def row_near(self, seq: int) -> int:
        """The row of a message or of the next one. Not for no rows."""
        return min(bisect_left(self.seqs, seq), len(self.seqs) - 1)

    def message(self, row: int) -> Message | None:
        """The message of a row; None if it was deleted."""
        number = row // PAGE_ROWS
        page = self._pages.get(number)
        if page is None:
            first = self.seqs[number * PAGE_ROWS]
            found = self._store.messages(self.chat, after=first - 1, limit=PAGE_ROWS)
            page = self._pages[number] = {message.seq: message for message in found}
            if len(self._pages) > PAGES_MAX:
                self._pages.popitem(last=False)
        self._pages.move_to_end(number)
        return page.get(self.seqs[row])

    def newest_own(self, among: int) -> Message | None:
        """The newest message that our user wrote, looked for in the last rows; else the last."""
        last = len(self.seqs) - 1
        near = (self.message(row) for row in range(last, max(-1, last - among), -1))
        own = next((m for m in near if m is not None and m.outgoing), None)
        return own if own is not None or last < 0 else self.message(last)
