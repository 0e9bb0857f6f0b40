"""Tables of the store, as the ordered list of changes that make them.

``PRAGMA user_version`` counts how many of ``MIGRATIONS`` a file has seen. A change
that was released is never edited: a new one is added at the end.

Choices that are not obvious:

* ``envelopes`` has one small row for every id ever seen; the data is in ``bodies``.
  Dropping an envelope then gives its pages back, and a million remembered ids
  stay about 120 MB. Both tables grow at their end, which is the cheapest insert.
* A ``lot`` is the held envelopes of one class, origin and kind, with its totals:
  usage needs no counting, a rollback needs no care, and the order of eviction is
  an index that offers are read from as well. ``envelopes.lot`` is NULL when the data is gone.
* ``pieces`` of a file say in which ``bodies`` they are, and which key opens them: those stay when
  the envelope leaves with its proof, long before the last one came. So a file is written once,
  sealed as it travels, by author and reader. Older pieces have the bytes themselves. ``files`` has
  those of ours that no key is known for yet, and those that came before there were pieces.
* ``doomed`` are bodies of destroyed files, whose keys are gone: overwritten when it is quiet.
* ``words`` is an index without texts, of folded words; ``secure-delete`` takes the words of a
  destroyed text out of its pages at once, where a table with rows would only mark them.
* ``early`` has acts on messages that have not come yet, ``buried`` the ids of destroyed ones
  that could come once more.
* ``messages_by_chat`` holds all that the layout of a history and an unread count need.
"""

from meshchat.database import Database
from meshchat.errors import StoreError
from meshchat.i18n import N_

_VERSION_1 = (
    "CREATE TABLE singles (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
    """CREATE TABLE prekeys (
        public BLOB PRIMARY KEY, secret BLOB NOT NULL, exp_h INTEGER NOT NULL,
        delete_at REAL NOT NULL
    ) WITHOUT ROWID""",
    """CREATE TABLE contacts (
        fp BLOB PRIMARY KEY, card BLOB NOT NULL, petname TEXT NOT NULL, claimed TEXT NOT NULL,
        trust TEXT NOT NULL, blocked INTEGER NOT NULL, request INTEGER NOT NULL,
        introduced_by BLOB NOT NULL, added_at REAL NOT NULL, heard_at REAL NOT NULL
    ) WITHOUT ROWID""",
    """CREATE TABLE rooms (
        rid BLOB PRIMARY KEY, name TEXT NOT NULL, key BLOB NOT NULL, private INTEGER NOT NULL,
        joined_at REAL NOT NULL
    ) WITHOUT ROWID""",
    """CREATE TABLE chats (
        no INTEGER PRIMARY KEY, chat BLOB NOT NULL UNIQUE, read_seq INTEGER NOT NULL DEFAULT 0,
        draft TEXT NOT NULL DEFAULT ''
    )""",
    # AUTOINCREMENT: a seq is never used twice, or a deleted message could unmark a new one.
    """CREATE TABLE messages (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, id BLOB NOT NULL UNIQUE,
        chat INTEGER NOT NULL REFERENCES chats (no), author BLOB NOT NULL,
        author_name TEXT NOT NULL, outgoing INTEGER NOT NULL, size INTEGER NOT NULL,
        sent_at REAL NOT NULL, received_at REAL NOT NULL, state TEXT NOT NULL,
        carriers INTEGER NOT NULL, delivered_at REAL NOT NULL, expires_at REAL NOT NULL,
        reason TEXT NOT NULL, eid BLOB NOT NULL, number BLOB NOT NULL, about BLOB NOT NULL,
        text TEXT NOT NULL
    )""",
    "CREATE INDEX messages_by_chat ON messages (chat, seq, outgoing, size, received_at)",
    "CREATE INDEX messages_by_envelope ON messages (eid) WHERE outgoing AND eid <> x''",
    """CREATE INDEX messages_pending ON messages (seq)
        WHERE outgoing AND state IN ('queued', 'carried')""",
    """CREATE TABLE steps (
        no INTEGER PRIMARY KEY, mid BLOB NOT NULL, at REAL NOT NULL, what TEXT NOT NULL,
        detail TEXT NOT NULL
    )""",
    "CREATE INDEX steps_by_message ON steps (mid)",
    """CREATE TABLE lots (
        no INTEGER PRIMARY KEY, size_class INTEGER NOT NULL, origin BLOB NOT NULL,
        kind INTEGER NOT NULL, count INTEGER NOT NULL DEFAULT 0,
        size_bytes INTEGER NOT NULL DEFAULT 0, UNIQUE (size_class, origin, kind)
    )""",
    """CREATE TABLE envelopes (
        id INTEGER PRIMARY KEY, eid BLOB NOT NULL, done BLOB, exp_h INTEGER NOT NULL,
        fate INTEGER NOT NULL, lot INTEGER, stamp INTEGER NOT NULL,
        at REAL NOT NULL
    )""",
    "CREATE UNIQUE INDEX envelopes_by_id ON envelopes (eid)",
    "CREATE INDEX envelopes_by_done ON envelopes (done) WHERE done IS NOT NULL",
    # Of ids whose data is gone only: an index less to write for each envelope that arrives.
    "CREATE INDEX envelopes_by_expiry ON envelopes (exp_h) WHERE lot IS NULL",
    "CREATE INDEX envelopes_by_worth ON envelopes (lot, stamp, exp_h) WHERE lot IS NOT NULL",
    "CREATE TABLE bodies (id INTEGER PRIMARY KEY, data BLOB NOT NULL)",
    "CREATE TABLE untried (id INTEGER PRIMARY KEY)",
    """CREATE TABLE proofs (
        done BLOB PRIMARY KEY, token BLOB NOT NULL, exp_h INTEGER NOT NULL,
        release_at REAL NOT NULL
    ) WITHOUT ROWID""",
    "CREATE INDEX proofs_by_release ON proofs (release_at)",
    "CREATE INDEX proofs_by_expiry ON proofs (exp_h)",
    """CREATE TABLE partials (
        no INTEGER PRIMARY KEY AUTOINCREMENT, eid BLOB NOT NULL UNIQUE, size INTEGER NOT NULL,
        data BLOB NOT NULL
    )""",
)

_VERSION_2 = (
    "ALTER TABLE messages ADD COLUMN life_s REAL NOT NULL DEFAULT 0",
    "CREATE TABLE files (no INTEGER PRIMARY KEY, mid BLOB NOT NULL UNIQUE, data BLOB NOT NULL)",
    """CREATE TABLE open_files (
        no INTEGER PRIMARY KEY AUTOINCREMENT, mid BLOB NOT NULL UNIQUE, contact BLOB NOT NULL,
        outgoing INTEGER NOT NULL, key BLOB NOT NULL, size INTEGER NOT NULL,
        hash BLOB NOT NULL, name TEXT NOT NULL, chunks BLOB NOT NULL, marks BLOB NOT NULL,
        token BLOB NOT NULL, exp_h INTEGER NOT NULL
    )""",
    """CREATE TABLE pieces (
        no INTEGER PRIMARY KEY, mid BLOB NOT NULL, place INTEGER NOT NULL, data BLOB NOT NULL,
        UNIQUE (mid, place)
    )""",
)

_VERSION_3 = (
    # Sessions of direct messages: docs/reference/wire.md, 5.1.
    """CREATE TABLE sessions (
        sid BLOB PRIMARY KEY, fp BLOB NOT NULL, ratchet BLOB NOT NULL, ek BLOB NOT NULL,
        past BLOB NOT NULL, closed INTEGER NOT NULL, made_at REAL NOT NULL,
        heard_at REAL NOT NULL, told_h INTEGER NOT NULL
    ) WITHOUT ROWID""",
    "CREATE INDEX sessions_by_contact ON sessions (fp)",
    """CREATE TABLE skipped (
        no INTEGER PRIMARY KEY AUTOINCREMENT, sid BLOB NOT NULL, key BLOB NOT NULL,
        number INTEGER NOT NULL, message_key BLOB NOT NULL, delete_at REAL NOT NULL,
        UNIQUE (sid, key, number)
    )""",
    "CREATE INDEX skipped_by_end ON skipped (delete_at)",
    "ALTER TABLE contacts ADD COLUMN boot INTEGER NOT NULL DEFAULT 0",
)

_ACT_COLUMNS = """id BLOB NOT NULL, kind INTEGER NOT NULL, chat BLOB NOT NULL,
        author BLOB NOT NULL, target BLOB NOT NULL, text TEXT NOT NULL, sent INTEGER NOT NULL,
        number BLOB NOT NULL, at REAL NOT NULL, timer_s INTEGER, eid BLOB NOT NULL"""

# Conversations' content: replies, reactions, edits, receipts, timers, search (``content_tables``).
_VERSION_4 = (
    "ALTER TABLE messages ADD COLUMN reply_to BLOB NOT NULL DEFAULT x''",
    "ALTER TABLE messages ADD COLUMN edited REAL NOT NULL DEFAULT 0",
    "ALTER TABLE messages ADD COLUMN retracted REAL NOT NULL DEFAULT 0",
    "ALTER TABLE messages ADD COLUMN read_at REAL NOT NULL DEFAULT 0",
    "ALTER TABLE messages ADD COLUMN mention INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE messages ADD COLUMN vanish_s INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE messages ADD COLUMN vanish_at REAL NOT NULL DEFAULT 0",
    "ALTER TABLE messages ADD COLUMN note TEXT NOT NULL DEFAULT ''",
    "CREATE INDEX messages_vanishing ON messages (vanish_at) WHERE vanish_at > 0",
    "CREATE INDEX messages_mentions ON messages (chat, seq) WHERE mention",
    "ALTER TABLE chats ADD COLUMN told_seq INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE chats ADD COLUMN draft_at REAL NOT NULL DEFAULT 0",
    "ALTER TABLE chats ADD COLUMN notify TEXT NOT NULL DEFAULT 'all'",
    "ALTER TABLE chats ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE chats ADD COLUMN archived INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE chats ADD COLUMN keep_days INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE chats ADD COLUMN timer_s INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE chats ADD COLUMN timer_sent INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE chats ADD COLUMN timer_number BLOB NOT NULL DEFAULT x''",
    "UPDATE chats SET told_seq = read_seq",
    """CREATE TABLE reactions (
        no INTEGER PRIMARY KEY AUTOINCREMENT, mid BLOB NOT NULL, author BLOB NOT NULL,
        emoji TEXT NOT NULL, sent INTEGER NOT NULL, number BLOB NOT NULL, at REAL NOT NULL,
        own INTEGER NOT NULL, UNIQUE (mid, author)
    )""",
    """CREATE TABLE versions (
        no INTEGER PRIMARY KEY, mid BLOB NOT NULL, sent INTEGER NOT NULL, number BLOB NOT NULL,
        text TEXT NOT NULL, at REAL NOT NULL, UNIQUE (mid, sent, number)
    )""",
    f"CREATE TABLE acts ({_ACT_COLUMNS}, PRIMARY KEY (id)) WITHOUT ROWID",
    f"""CREATE TABLE early (
        no INTEGER PRIMARY KEY AUTOINCREMENT, {_ACT_COLUMNS}, UNIQUE (target, author, kind)
    )""",
    "CREATE TABLE buried (id BLOB PRIMARY KEY, until REAL NOT NULL) WITHOUT ROWID",
    """CREATE VIRTUAL TABLE words USING fts5 (
        text, content = '', detail = none, columnsize = 0, tokenize = 'ascii'
    )""",
)

_PEOPLE = (  # silence, revocations, moderation of rooms
    "ALTER TABLE contacts ADD COLUMN silent_days INTEGER NOT NULL DEFAULT 0",
    """CREATE TABLE revocations (
        fp BLOB PRIMARY KEY, notice BLOB NOT NULL, released INTEGER NOT NULL,
        again_at REAL NOT NULL, until REAL NOT NULL
    ) WITHOUT ROWID""",
    """CREATE TABLE room_marks (
        rid BLOB NOT NULL, target BLOB NOT NULL, by_key BLOB NOT NULL, mark INTEGER NOT NULL,
        place INTEGER NOT NULL, PRIMARY KEY (rid, target, by_key)
    ) WITHOUT ROWID""",
)

# Groups. ``place`` is that of a member in the list of its epoch.
_VERSION_GROUPS = (
    """CREATE TABLE groups (
        gid BLOB PRIMARY KEY, name TEXT NOT NULL, membership TEXT NOT NULL, joined_at REAL NOT NULL
    ) WITHOUT ROWID""",
    """CREATE TABLE epochs (
        no INTEGER PRIMARY KEY, eid BLOB NOT NULL UNIQUE, gid BLOB NOT NULL, parents BLOB NOT NULL,
        generation INTEGER NOT NULL, author BLOB NOT NULL, members BLOB NOT NULL,
        name TEXT NOT NULL, head_key BLOB NOT NULL, came_at REAL NOT NULL, ends_at REAL NOT NULL
    )""",
    """CREATE TABLE group_chains (
        eid BLOB NOT NULL, place INTEGER NOT NULL, n INTEGER NOT NULL, key BLOB NOT NULL,
        PRIMARY KEY (eid, place)
    ) WITHOUT ROWID""",
    """CREATE TABLE group_skipped (
        no INTEGER PRIMARY KEY AUTOINCREMENT, gid BLOB NOT NULL, eid BLOB NOT NULL,
        place INTEGER NOT NULL, n INTEGER NOT NULL, key BLOB NOT NULL, at REAL NOT NULL,
        UNIQUE (eid, place, n)
    )""",
    "CREATE INDEX group_skipped_by_group ON group_skipped (gid, no)",
    """CREATE TABLE group_mail (
        no INTEGER PRIMARY KEY, number BLOB NOT NULL UNIQUE, gid BLOB NOT NULL, fp BLOB NOT NULL,
        control BLOB NOT NULL, until REAL NOT NULL, eid BLOB NOT NULL, incoming INTEGER NOT NULL
    )""",
)

# ``data`` of a piece that is in an envelope: key and how much of its inner to skip.
_PIECES_IN_ENVELOPES = (
    "ALTER TABLE pieces ADD COLUMN body INTEGER",
    "CREATE INDEX pieces_by_body ON pieces (body) WHERE body IS NOT NULL",
    "CREATE TABLE doomed (id INTEGER PRIMARY KEY)",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    _VERSION_1,
    _VERSION_2,
    _VERSION_3,
    _VERSION_4,
    _PEOPLE,
    _VERSION_GROUPS,
    _PIECES_IN_ENVELOPES,
)


def migrate(db: Database) -> None:
    """Bring an open database to the newest version, all or nothing.

    Raises:
        StoreError: ``too_new`` when a later meshchat wrote the file.
    """
    version: int = db.value("PRAGMA user_version")
    if version > len(MIGRATIONS):
        text = N_("A newer meshchat wrote this profile. Update meshchat to open it.")
        raise StoreError("too_new", text)
    if version == len(MIGRATIONS):
        return
    with db.transaction():
        for change in MIGRATIONS[version:]:
            for statement in change:
                db.write(statement)
        db.write(f"PRAGMA user_version = {len(MIGRATIONS)}")
