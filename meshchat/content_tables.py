"""The tables of what is done to messages and chats, and the index that finds words in texts.

Part of ``SqlStore``; ``meshchat.core.ports.Store`` is the contract. Whatever destroys a text
here destroys it in every table: the index too, which is why its old words are taken out by the
words themselves (``secure-delete``) and not by marking rows.
"""

from collections.abc import Iterable, Sequence

from meshchat.core.model import (
    Act,
    ChatId,
    ChatOptions,
    Message,
    Notify,
    Reaction,
    Version,
)
from meshchat.core.words import FOLDING, Query, words
from meshchat.database import Database, Row, Rows
from meshchat.text import Clean

BATCH_MAX = 500  # ids of one statement; SQLite takes 32,766
SEARCH_BATCH = 200  # rows looked at for words in quotes before more are fetched

_ACT = "id, kind, chat, author, target, text, sent, number, at, timer_s, eid"
_OPTIONS = "notify, pinned, archived, keep_days, timer_s, timer_sent, timer_number"
_WITH_MESSAGE = ("versions", "reactions", "files", "open_files", "pieces")


class ContentTables:
    """Reactions, versions, acts on their way, chat options, search, destruction."""

    _db: Database
    _options: dict[ChatId, ChatOptions]
    """Of chats that were looked at; forgotten when something is undone."""
    _no_early: bool
    """There are no acts that wait for their message."""
    _recent: dict[bytes, Message]
    """Some of ours that are on their way, as they are in the table, by envelope."""
    _steps: Rows
    """Of journeys."""
    _words: Rows
    """Of texts: each savepoint would write the index anew."""

    # --- reactions and versions ---

    def reactions(self, mids: Sequence[bytes]) -> list[Reaction]:
        found: list[Reaction] = []
        for at in range(0, len(mids), BATCH_MAX):
            batch = tuple(mids[at : at + BATCH_MAX])
            rows = self._db.rows(
                f"""SELECT no, mid, author, emoji, sent, number, at, own FROM reactions
                WHERE emoji <> '' AND mid IN ({_marks(batch)}) ORDER BY no""",
                *batch,
            )
            found += [_reaction(row[1:]) for row in rows]
        return found

    def reaction(self, mid: bytes, author: bytes) -> Reaction | None:
        row = self._db.row(
            """SELECT mid, author, emoji, sent, number, at, own FROM reactions
            WHERE mid = ? AND author = ?""",
            *(mid, author),
        )
        return _reaction(row) if row else None

    def count_reactions(self, mid: bytes) -> int:
        count: int = self._db.value("SELECT count(*) FROM reactions WHERE mid = ?", mid)
        return count

    def save_reaction(self, reaction: Reaction) -> None:
        self._db.write("DELETE FROM reactions WHERE mid = ? AND author = ?", *reaction[:2])
        self._db.write(
            """INSERT INTO reactions (mid, author, emoji, sent, number, at, own)
            VALUES (?, ?, ?, ?, ?, ?, ?)""",
            *reaction,
        )

    def versions(self, mid: bytes) -> list[Version]:
        rows = self._db.rows(
            "SELECT sent, number, text, at FROM versions WHERE mid = ? ORDER BY sent, number", mid
        )
        return [Version(sent, number, Clean(text), at) for sent, number, text, at in rows]

    def add_version(self, mid: bytes, version: Version, keep: int) -> bool:
        known = "SELECT 1 FROM versions WHERE mid = ? AND sent = ? AND number = ?"
        if self._db.row(known, mid, version.sent, version.number):
            return False
        self._db.write(
            "INSERT INTO versions (mid, sent, number, text, at) VALUES (?, ?, ?, ?, ?)",
            *(mid, *version),
        )
        self._db.write(
            """DELETE FROM versions WHERE mid = ?1 AND no NOT IN (SELECT no FROM versions
                WHERE mid = ?1 ORDER BY sent DESC, number DESC LIMIT ?2)""",
            *(mid, keep),
        )
        return True

    # --- acts ---

    def save_act(self, act: Act) -> None:
        self._db.write(
            f"INSERT OR REPLACE INTO acts ({_ACT}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            *(act.id, act.kind, act.chat, act.author, act.target, act.text, act.sent),
            *(act.number, act.at, act.timer_s, act.eid),
        )

    def acts(self) -> list[Act]:
        return [Act(*row) for row in self._db.rows(f"SELECT {_ACT} FROM acts ORDER BY at, id")]

    def drop_act(self, mid: bytes) -> None:
        self._db.write("DELETE FROM acts WHERE id = ?", mid)

    def save_early(self, act: Act, keep: int, keep_of_author: int) -> None:
        self._no_early = False
        self._db.write(
            """DELETE FROM early WHERE target = ? AND author = ? AND kind = ?
                AND (sent, number) < (?, ?)""",
            *(act.target, act.author, act.kind, act.sent, act.number),
        )
        self._db.write(
            f"""INSERT INTO early ({_ACT}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT DO NOTHING""",
            *(act.id, act.kind, act.chat, act.author, act.target, act.text, act.sent),
            *(act.number, act.at, act.timer_s, act.eid),
        )
        surplus = "DELETE FROM early WHERE no IN (SELECT no FROM early {} LIMIT -1 OFFSET ?)"
        for column, value, most in (
            ("author", act.author, keep_of_author),
            ("chat", act.chat, keep),
        ):
            newest = f"WHERE {column} = ? ORDER BY no DESC"
            self._db.write(surplus.format(newest), value, most)

    def take_early(self, target: bytes) -> list[Act]:
        if self._no_early:
            return []
        rows = self._db.rows(f"SELECT {_ACT} FROM early WHERE target = ? ORDER BY no", target)
        if rows:
            self._db.write("DELETE FROM early WHERE target = ?", target)
        else:
            self._no_early = self._db.row("SELECT 1 FROM early LIMIT 1") is None
        return [Act(*row) for row in rows]

    # --- chats ---

    def chat_options(self, chat: ChatId) -> ChatOptions:
        found = self._options.get(chat)
        if found is None:
            row = self._db.row(f"SELECT {_OPTIONS} FROM chats WHERE chat = ?", chat)
            found = self._options[chat] = options_of(row) if row else ChatOptions()
        return found

    def save_chat_options(self, chat: ChatId, options: ChatOptions) -> None:
        self._options.pop(chat, None)
        self._db.write(
            f"""INSERT INTO chats (chat, {_OPTIONS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT (chat) DO UPDATE SET notify = excluded.notify, pinned = excluded.pinned,
                archived = excluded.archived, keep_days = excluded.keep_days,
                timer_s = excluded.timer_s, timer_sent = excluded.timer_sent,
                timer_number = excluded.timer_number""",
            *(chat, options.notify, options.pinned, options.archived, options.keep_days),
            *(options.timer_s, options.timer_sent, options.timer_number),
        )

    def kept_chats(self) -> list[tuple[ChatId, int]]:
        return self._db.rows("SELECT chat, keep_days FROM chats WHERE keep_days > 0 ORDER BY no")

    # --- read receipts ---

    def untold(self) -> list[ChatId]:
        rows = self._db.rows("SELECT chat FROM chats WHERE told_seq < read_seq ORDER BY no")
        return [row[0] for row in rows]

    def untold_messages(self, chat: ChatId, limit: int) -> list[tuple[int, bytes]]:
        return self._db.rows(
            """SELECT m.seq, m.id FROM chats c JOIN messages m ON m.chat = c.no
            WHERE c.chat = ? AND m.seq > c.told_seq AND m.seq <= c.read_seq AND NOT m.outgoing
                AND m.retracted = 0 ORDER BY m.seq LIMIT ?""",
            *(chat, limit),
        )

    def mark_told(self, chat: ChatId, seq: int | None) -> None:
        told = "read_seq" if seq is None else "max(told_seq, ?)"
        given = () if seq is None else (seq,)
        self._db.write(f"UPDATE chats SET told_seq = {told} WHERE chat = ?", *given, chat)

    # --- destruction ---

    def start_timers(self, chat: ChatId, upto: int, now: float) -> int:
        self._recent.clear()
        begun = self._db.write(
            """UPDATE messages SET vanish_at = ?1 + vanish_s
            WHERE chat = (SELECT no FROM chats WHERE chat = ?2) AND vanish_s > 0 AND vanish_at = 0
                AND seq <= ?3 AND NOT outgoing RETURNING 1""",
            *(now, chat, upto),
        )
        return len(begun)

    def next_vanish(self) -> float | None:
        at: float | None = self._db.value("SELECT min(vanish_at) FROM messages WHERE vanish_at > 0")
        return at

    def due_to_vanish(self, wall: float, limit: int) -> list[tuple[ChatId, bytes]]:
        return self._db.rows(
            """SELECT c.chat, m.id FROM messages m JOIN chats c ON c.no = m.chat
            WHERE m.vanish_at > 0 AND m.vanish_at <= ? ORDER BY m.vanish_at, m.seq LIMIT ?""",
            *(wall, limit),
        )

    def older(self, chat: ChatId, wall: float, limit: int) -> list[bytes]:
        rows = self._db.rows(
            """SELECT m.id FROM chats c JOIN messages m ON m.chat = c.no
            WHERE c.chat = ? AND m.received_at < ?
                AND NOT (m.outgoing AND m.state IN ('queued', 'carried'))
            ORDER BY m.seq LIMIT ?""",
            *(chat, wall, limit),
        )
        return [row[0] for row in rows]

    def drop_old_draft(self, chat: ChatId, wall: float) -> bool:
        gone = self._db.write(
            """UPDATE chats SET draft = '' WHERE chat = ? AND draft <> '' AND draft_at < ?
            RETURNING 1""",
            *(chat, wall),
        )
        return bool(gone)

    def drop_messages(self, mids: Iterable[bytes], until: float) -> list[bytes]:
        gone: list[bytes] = []
        for mid in mids:
            if not self._unindex(mid):
                continue
            self.drop_content(mid)
            self._recent.clear()
            self._steps.write()
            self._db.write("DELETE FROM steps WHERE mid = ?", mid)
            self._db.write("DELETE FROM messages WHERE id = ?", mid)
            if until:
                self._db.write("INSERT OR REPLACE INTO buried VALUES (?, ?)", mid, until)
            gone.append(mid)
        return gone

    def drop_content(self, mid: bytes) -> None:
        for table in _WITH_MESSAGE:
            self._db.write(f"DELETE FROM {table} WHERE mid = ?", mid)

    def forget_buried(self, wall: float, early_before: float) -> None:
        self._db.write("DELETE FROM buried WHERE until <= ?", wall)
        self._db.write("DELETE FROM early WHERE at < ?", early_before)

    def buried(self, mid: bytes) -> bool:
        return self._db.row("SELECT 1 FROM buried WHERE id = ?", mid) is not None

    # --- search ---

    def _found(self, query: Query, chat: ChatId | None, before: int, limit: int) -> list[int]:
        """``seq`` of messages that have its words, newest first."""
        wanted = " ".join(f'"{start}"*' for start in query.starts)
        where = ""
        given: list[object] = [wanted, before]
        if chat is not None:
            # For each that is found a look at its row: never all rows of a chat.
            where = """AND (SELECT c.chat FROM messages m JOIN chats c ON c.no = m.chat
                WHERE m.seq = words.rowid) = ?"""
            given.append(chat)
        rows = self._db.rows(
            f"""SELECT rowid FROM words WHERE words MATCH ? AND rowid < ? {where}
            ORDER BY rowid DESC LIMIT ?""",
            *(*given, limit),
        )
        return [row[0] for row in rows]

    def _index(self, seq: int, text: str) -> None:
        there = " ".join(words(Clean(str(text))))
        if there:
            self._words.add((seq, there))

    def _unindex(self, mid: bytes) -> bool:
        """Take the words of a message out of the index. False: there is no such message."""
        self._words.write()
        row = self._db.row("SELECT seq, text, note FROM messages WHERE id = ?", mid)
        if row is None:
            return False
        if row[2] == "timer":  # words of ours, not of people
            return True
        there = " ".join(words(Clean(row[1])))
        if there:  # a contentless table is told what to take out
            self._db.write(
                "INSERT INTO words (words, rowid, text) VALUES ('delete', ?, ?)", row[0], there
            )
        return True

    def _index_all(self) -> None:
        """Make the index anew if another folding made it, or none."""
        row = self._db.row("SELECT value FROM singles WHERE name = 'folding'")
        if row and row[0] == FOLDING.encode():
            return
        with self._db.transaction():
            self._db.write("INSERT INTO words (words) VALUES ('delete-all')")
            self._db.write("INSERT INTO words (words, rank) VALUES ('secure-delete', 1)")
            page = """SELECT seq, text FROM messages WHERE seq > ? AND note <> 'timer'
                ORDER BY seq LIMIT ?"""
            last = 0
            while rows := self._db.rows(page, last, BATCH_MAX):
                for last, text in rows:
                    self._index(last, text)
                self._words.write()
            self._db.write("INSERT OR REPLACE INTO singles VALUES ('folding', ?)", FOLDING.encode())


def options_of(row: Row) -> ChatOptions:
    """From columns in the order of ``_OPTIONS``."""
    notify, pinned, archived, *rest = row
    return ChatOptions(Notify(notify), bool(pinned), bool(archived), *rest)


def _reaction(row: Row) -> Reaction:
    mid, author, emoji, sent, number, at, own = row
    return Reaction(mid, author, Clean.line(emoji), sent, number, at, bool(own))


def _marks(given: Sequence[object]) -> str:
    return ", ".join("?" * len(given))
