"""How long messages stay on this device: timers, retention, deletion; and what is set for a chat.

What is destroyed goes with all that belongs to it. Copies on other devices, in photographs and in
memory are out of reach, and nothing here claims otherwise.
"""

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from meshchat.core.body import TIMER_MAX_S
from meshchat.core.content import Content
from meshchat.core.events import ChatChanged, MessagesGone, SetChat, Tell
from meshchat.core.files import Files
from meshchat.core.limits import (
    BURIED_S,
    CLOCK_FLOOR_S,
    DAY_S,
    DESTROY_AT_ONCE_MAX,
    DESTROY_GAP_S,
    EARLY_LIFE_S,
    HOUSEKEEPING_S,
    KEEP_DAYS_MAX,
    TIMER_AHEAD_MAX_S,
    TIMER_MIN_S,
)
from meshchat.core.model import (
    NOTE_FILE,
    NOTE_TIMER,
    ChatId,
    ChatOptions,
    Message,
    Now,
    State,
)
from meshchat.core.ports import Store
from meshchat.errors import UsageError
from meshchat.text import Clean

_UNITS = ((604_800, "week"), (DAY_S, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


def timer_text(seconds: int) -> Clean:
    """Plain words for a history that has no better ones."""
    if not seconds:
        return Clean("[messages stay from now on]")
    size, unit = next(each for each in _UNITS if seconds % each[0] == 0)
    count = seconds // size
    many = "" if count == 1 else "s"
    return Clean(f"[messages disappear {count} {unit}{many} after they were read]")


class Keeping:
    """Destroys what is to go, in time."""

    def __init__(
        self, store: Store, files: Files, content: Content, tell: Callable[[Tell], None]
    ) -> None:
        self._store = store
        self._files = files
        self._content = content
        self._tell = tell
        self._due: float | None = None
        self._too_old = False  # more is, than was destroyed at once

    def next_wakeup(self) -> float | None:
        """Monotonic time at which ``wake`` is due."""
        return self._due

    def plan(self, now: Now) -> None:
        """Messages began to disappear, or the clocks moved: look when the next one goes."""
        at = self._store.next_vanish()
        # A little late, so that it is due by both clocks.
        self._due = None if at is None else now.mono + max(0.0, at - now.wall) + DESTROY_GAP_S
        if self._too_old:
            self._due = now.mono + DESTROY_GAP_S

    def wake(self, now: Now) -> None:
        """Destroy what has had its time."""
        if self._due is None or now.mono < self._due:
            return
        if now.wall < CLOCK_FLOOR_S:  # it says nothing
            self._due = now.mono + HOUSEKEEPING_S
            return
        if self._too_old:
            self.house(now)
        gone: dict[ChatId, list[bytes]] = {}
        for chat, mid in self._store.due_to_vanish(now.wall, DESTROY_AT_ONCE_MAX):
            gone.setdefault(chat, []).append(mid)
        for chat, mids in gone.items():
            self.destroy(chat, mids, now)
        self.plan(now)

    def house(self, now: Now) -> None:
        """Now and then: what is older than its chat keeps. A little at a time: keys are pressed."""
        self._too_old = False
        for chat, days in self._store.kept_chats():
            before = now.wall - days * DAY_S
            self._store.drop_old_draft(chat, before)
            old = self._store.older(chat, before, DESTROY_AT_ONCE_MAX)
            self.destroy(chat, old, now)
            if len(old) == DESTROY_AT_ONCE_MAX:
                self._too_old = True
                break
        self._store.forget_buried(now.wall, now.wall - EARLY_LIFE_S)
        self.plan(now)

    def destroy(self, chat: ChatId, mids: Sequence[bytes], now: Now) -> None:
        """Destroy messages here; they are not stored again should they come once more."""
        for mid in mids:
            self._files.forget(mid)
        self.gone(chat, self._store.drop_messages(mids, now.wall + BURIED_S))

    def gone(self, chat: ChatId, mids: Sequence[bytes]) -> None:
        """These are not in the store any more."""
        for mid in mids:
            self._content.forget_target(mid)
        if mids:
            self._tell(MessagesGone(chat, tuple(mids)))

    def delete(self, mid: bytes, now: Now) -> None:
        """Our user wants a message gone from here."""
        message = self._content.need(mid)
        if message.outgoing and message.state in (State.QUEUED, State.CARRIED):
            self._content.stop(message)
        self.destroy(message.chat, [mid], now)
        self.plan(now)

    # --- timers -------------------------------------------------------------------------------

    def begins_sealed(self, message: Message, now: Now) -> float:
        """When a message of ours that was just sealed disappears here; 0: not decided yet.

        What would have to be sealed again from here stays until its way has ended.
        """
        again = message.note in (NOTE_FILE, NOTE_TIMER)
        return now.wall + message.vanish_s if message.vanish_s and not again else 0.0

    def way_ended(self, message: Message, now: Now) -> None:
        """A message of ours is delivered or has failed: now its timer runs in any case."""
        if message.vanish_s and not message.vanish_at:
            self._store.change_message(message.id, vanish_at=now.wall + message.vanish_s)
            self.plan(now)

    def read(self, chat: ChatId, seq: int, now: Now) -> None:
        """Our user has seen everything up to ``seq``."""
        if self._store.start_timers(chat, seq, now.wall):
            self.plan(now)

    def check_timer(self, chat: ChatId, seconds: int) -> None:
        """Raises ``UsageError`` if our user cannot set this timer."""
        if chat[:1] == b"r":
            raise UsageError(
                "no_timer_in_rooms",
                "In a room anybody may keep what is written: set how long you keep it instead.",
            )
        if seconds and not TIMER_MIN_S <= seconds <= TIMER_MAX_S:
            raise UsageError(
                "bad_timer",
                f"Messages can disappear after {TIMER_MIN_S} seconds to a year; 0 lets them stay.",
            )

    def set_timer(self, chat: ChatId, seconds: int, sent: int, number: bytes, now: Now) -> None:
        """Somebody in the chat, perhaps we, set its timer; the latest one counts."""
        options = self._store.chat_options(chat)
        sent = min(sent, int(now.wall) + TIMER_AHEAD_MAX_S)  # or nobody could ever change it
        if (sent, number) > (options.timer_sent, options.timer_number):
            self._save(
                chat, replace(options, timer_s=seconds, timer_sent=sent, timer_number=number)
            )

    # --- what is ours alone -------------------------------------------------------------------

    def set_chat(self, command: SetChat, now: Now) -> ChatOptions:
        days = command.keep_days
        if days is not None and not 0 <= days <= KEEP_DAYS_MAX:
            raise UsageError(
                "bad_days", f"Messages are kept for 1 to {KEEP_DAYS_MAX} days; 0: for ever."
            )
        given = {
            "notify": command.notify,
            "pinned": command.pinned,
            "archived": command.archived,
            "keep_days": days,
        }
        changes = {name: value for name, value in given.items() if value is not None}
        options = replace(self._store.chat_options(command.chat), **changes)
        self._save(command.chat, options)
        if days and now.wall >= CLOCK_FLOOR_S:
            self.house(now)
        return options

    def _save(self, chat: ChatId, options: ChatOptions) -> None:
        self._store.save_chat_options(chat, options)
        self._tell(ChatChanged(chat, options))
