"""What is set for a chat, and a row of the chat list."""

from enum import StrEnum

from msgspec import Struct

from meshchat.core.model.messages import ChatId, Message
from meshchat.text import Clean


class Notify(StrEnum):
    """What a chat may call us for."""

    ALL = "all"
    MENTIONS = "mentions"
    NONE = "none"


class ChatOptions(Struct, frozen=True):
    """What is set for one chat. All but the timer is ours alone."""

    notify: Notify = Notify.ALL
    pinned: bool = False
    archived: bool = False
    keep_days: int = 0
    """Older messages are destroyed here; 0: none."""
    timer_s: int = 0
    """New messages disappear so many seconds after they were read; 0: they stay."""
    timer_sent: int = 0
    timer_number: bytes = b""
    """Of both sides' timers, the greatest ``(sent, number)`` counts."""


class Privacy(Struct, frozen=True):
    """What others may learn of us beside what we write."""

    read_receipts: bool = False
    typing: bool = False
    """Tell contacts on a direct link while we write, and show it of them."""
    retractions: bool = True
    """Delete here what its author asks to be deleted."""


class ChatSummary(Struct, frozen=True):
    """A row of the chat list."""

    chat: ChatId
    last: Message | None
    unread: int
    read_seq: int
    """Messages with a greater ``seq`` are new."""
    draft: Clean
    mentions: int = 0
    """How many of the unread ones mention us."""
    options: ChatOptions = ChatOptions()
