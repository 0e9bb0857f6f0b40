"""Files in pieces: cutting and sealing ours, collecting those of friends.

A file travels as chunks sealed to a random key, and as a manifest inside a direct message that
says which envelope is the first of them; the first says which are the others, so that a manifest
is small mail. Chunks are recognised by their ids, before any key is tried. What
a chunk holds is kept aside at once, because the envelope leaves with its proof; the manifest is
proven when the file is whole, so that *delivered* means all of it.
"""

import re
from collections import Counter
from collections.abc import Callable

from msgspec.structs import replace

from meshchat.core.contacts import People
from meshchat.core.crypto import KEY_BYTES
from meshchat.core.custody import Custody, hours
from meshchat.core.envelope import (
    CLASS_SIZES,
    Opened,
    envelope_id,
    open_sealed,
    part_of,
    smallest_class,
)
from meshchat.core.events import FileComplete, MessageChanged, Tell
from meshchat.core.limits import (
    DM_LIFE_MAX_H,
    FILE_SPREAD_H,
    FILE_WAIT_H,
    FILES_KNOWN_PER_CONTACT_MAX,
    FILES_KNOWN_PER_STRANGER_MAX,
    FILES_TAKEN_MAX,
    FILES_TAKEN_PER_CONTACT_MAX,
)
from meshchat.core.model import Fate, Held, Manifest, Message, Now, OpenFile, Piece, Step
from meshchat.core.pieces import Pieces
from meshchat.core.ports import Entropy, Store
from meshchat.core.receipts import Receipt, Receipts, delay_s
from meshchat.core.sealed import (
    FILE_MAX_BYTES,
    FILE_NAME_MAX_BYTES,
    chunk,
    chunk_inner_bytes,
    cut,
    file_hash,
    open_chunk,
    piece_sizes,
    read_table,
    with_table,
)
from meshchat.core.sealer import Sealer
from meshchat.errors import AuthError, QuotaError, UsageError, WireError
from meshchat.text import Clean

MANIFEST_CLASS = 1  # class 0 unless the names are long

OPEN, DAMAGED, ENDED = "file_open", "file_damaged", "file_ended"
"""Reasons of a message whose file is not here: pieces lack, do not fit, or did not come."""


def file_text(name: str, size: int) -> Clean:
    """What stands for a file in a conversation: ``[file "report.pdf", 123 kB]``."""
    if size < 1_000:
        amount = f"{size} B"
    elif size < 1_000_000:
        amount = f"{(size + 500) // 1_000} kB"
    else:
        tenths = (size + 50_000) // 100_000
        amount = f"{tenths // 10}.{tenths % 10} MB"
    return Clean(f'[file "{Clean.line(name, FILE_NAME_MAX_BYTES) or "without a name"}", {amount}]')


def named_in(text: str) -> Clean:
    """The name in what ``file_text`` made: for people to read, no name for a file system."""
    found = re.fullmatch(r'\[file "(.*)", [^"]*\]', text)
    return Clean.line(found[1] if found else "", FILE_NAME_MAX_BYTES)


def check_file(name: str, data: bytes) -> Clean:
    """The name as it will be sent.

    Raises:
        UsageError: The file is empty or too large, or the name cannot be used.
    """
    if not data:
        raise UsageError("empty_file", "There is nothing to send: the file is empty.")
    if len(data) > FILE_MAX_BYTES:
        raise UsageError(
            "file_too_large",
            f"The file has {len(data)} bytes; at most {FILE_MAX_BYTES} can be carried for one "
            "message. Make it smaller or send it in parts.",
        )
    clean = Clean.line(name, FILE_NAME_MAX_BYTES + 1)
    if not clean or len(clean.encode()) > FILE_NAME_MAX_BYTES:
        raise UsageError(
            "bad_file_name",
            f"The name of a file has 1 to {FILE_NAME_MAX_BYTES} bytes (a Cyrillic letter counts "
            "as two): give another one.",
        )
    return clean


class Files:
    """Every file under way, ours and our friends'."""

    def __init__(
        self,
        store: Store,
        entropy: Entropy,
        people: People,
        custody: Custody,
        sealer: Sealer,
        receipts: Receipts,
        tell: Callable[[Tell], None],
        counters: Counter[str],
    ) -> None:
        self._store = store
        self._entropy = entropy
        self._people = people
        self._custody = custody
        self._sealer = sealer
        self._receipts = receipts
        self._tell = tell
        self._counters = counters
        self._open = {file.mid: file for file in store.open_files()}
        self._ours: dict[bytes, bytes] = {}  # chunk of ours -> its message
        self._alone: dict[bytes, None] = {}  # those of them that only we have
        self._taken: dict[bytes, None] = {}  # files of friends being collected
        self._wanted: dict[bytes, list[bytes]] = {}  # chunk -> messages that name it
        self._begun = (b"", b"")  # a file of ours that is not sealed yet, with its message
        self._pieces = Pieces(store, custody)
        # Files of which something came or left in this step; whether that is still to be told.
        self._moved: dict[bytes, bool] = {}
        self._waits_s: dict[bytes, float] = {}  # pieces that came together are proven together
        for file in self._open.values():
            self._know_chunks(file)
        self._choose()

    def flush(self) -> None:
        """Write what came or left in this step: each file once, however many pieces there were."""
        self._pieces.write()
        for mid, tell in self._moved.items():
            file = self._open.get(mid)
            if file is not None:
                self._store.save_open_file(file)
                if tell:
                    self._tell_progress(mid)
        self._moved.clear()
        self._waits_s.clear()

    def _save(self, file: OpenFile) -> OpenFile:
        self._open[file.mid] = file
        self._store.save_open_file(file)
        return file

    # --- ours ---------------------------------------------------------------------------------

    def begin(self, mid: bytes, fp: bytes, name: str, data: bytes) -> None:
        """Keep a file of ours until its message is delivered or has failed.

        It is to be sealed next, and then ``begun``.

        Raises:
            UsageError: ``outbox_full``; then nothing was changed.
        """
        self._custody.check_own(self._room(len(data)))
        manifest = Manifest(self._entropy.bytes(KEY_BYTES), len(data), name, file_hash(data))
        self._begun = (mid, data)
        self._save(OpenFile(mid, fp, True, manifest))

    def begun(self, *, sealed: bool) -> None:
        """Write the file by itself, unless its envelopes have it."""
        if not sealed:
            self._store.save_file(*self._begun)
        self._begun = (b"", b"")

    def _room(self, size: int) -> int:
        """Bytes of custody that a file of this size and its manifest need."""
        sizes = [CLASS_SIZES[smallest_class(length)] for length in chunk_inner_bytes(size)]
        return sum(sizes) + CLASS_SIZES[MANIFEST_CLASS]

    def is_ours(self, mid: bytes) -> bool:
        """Whether this message of ours is a file that is still under way."""
        file = self._open.get(mid)
        return file is not None and file.outgoing

    def seal(self, message: Message, exp_h: int, now: Now) -> Manifest:
        """Seal every chunk, anew if that was done before; returns the manifest to send.

        Key and hash stay, so the reader keeps what it has. No chunk ends before the manifest does.

        Raises:
            UsageError: ``outbox_full``; then no chunk is sealed.
        """
        file, (mid, data) = self._open[message.id], self._begun
        if mid != message.id:
            kept = self._store.file(message.id)
            assert kept is not None, "a file of ours is kept while it is under way"
            data = kept
        file = self._save(self._unseal(file, Fate.EVICTED))
        self._custody.check_own(self._room(len(data)))
        latest = hours(now.wall) + DM_LIFE_MAX_H
        known = file.manifest
        pieces: list[Piece] = []  # the first last: it names the others
        first, *others = cut(data)
        part = part_of(1 + len(others), int.from_bytes(self._entropy.bytes(2), "little"))

        def add(index: int, words: bytes, piece: bytes) -> None:
            end_h = exp_h
            if not message.life_s:  # each its own, or the hour would tie them together
                end_h = max(exp_h, min(latest, exp_h + self._sealer.spread_h(FILE_SPREAD_H)))
            inner = chunk(index, words)
            data = self._sealer.shared(
                known.key,
                lambda _: inner,
                known.hash + bytes([index]),  # stands for the piece: no need to hash it once more
                end_h,
                want_proof=True,
                part=part,
            )
            skip = len(inner) - len(piece)
            pieces.append(Piece(index, envelope_id(data), data, known.key, skip))

        for index, piece in enumerate(others, 1):
            add(index, piece, piece)
        add(0, with_table(known.hash, [each.eid for each in pieces], first), first)
        pieces.insert(0, pieces.pop())
        ids = [each.eid for each in pieces]
        self._sealer.keep_all([(each.data, each.eid) for each in pieces], now, [file.contact])
        self._custody.flush()  # pieces stay in their envelopes
        self._store.save_pieces(file.mid, pieces)
        if mid != message.id:
            self._store.drop_file(file.mid)  # the pieces are it now
        file = self._save(replace(file, manifest=replace(known, chunks=tuple(ids))))
        self._know_chunks(file)
        return file.manifest

    def _know_chunks(self, file: OpenFile) -> None:
        if file.outgoing:
            for index, eid in enumerate(file.manifest.chunks):
                self._ours[eid] = file.mid
                if not file.marks >> index & 1:
                    self._alone[eid] = None

    def _unseal(self, file: OpenFile, fate: Fate) -> OpenFile:
        """Take the chunks of ours out of custody."""
        self._custody.drop_all(file.manifest.chunks, fate)
        for eid in file.manifest.chunks:
            self._ours.pop(eid, None)
            self._alone.pop(eid, None)
        return replace(file, manifest=replace(file.manifest, chunks=()), marks=0)

    def is_chunk(self, eid: bytes) -> bool:
        """Whether this envelope is a chunk of a file of ours."""
        return eid in self._ours

    def handed(self, eid: bytes) -> bytes | None:
        """A chunk of ours is in somebody else's store.

        Returns:
            The message, if with this one every chunk has left.
        """
        if eid not in self._alone:
            return None
        del self._alone[eid]
        file = self._open[self._ours[eid]]
        index = file.manifest.chunks.index(eid)
        file = self._open[file.mid] = replace(file, marks=file.marks | 1 << index)
        out = _all_marked(file)
        self._moved[file.mid] = not out
        return file.mid if out else None

    def all_out(self, mid: bytes) -> bool:
        """Whether nothing but the message itself has to leave our hands: no file, or all of it."""
        file = self._open.get(mid)
        return file is None or _all_marked(file)

    def alone(self, eids: set[bytes]) -> list[bytes]:
        """Which of these are chunks of ours that we thought only we had."""
        return [eid for eid in self._alone if eid in eids]

    def close(self, mid: bytes, fate: Fate) -> None:
        """A message of ours is delivered or has failed: its file, if it had one, can go."""
        if self.is_ours(mid):
            self._unseal(self._open.pop(mid), fate)
            self._store.drop_open_file(mid)
            self._store.drop_file(mid)

    def forget(self, mid: bytes) -> None:
        """A message is destroyed: its file with it, ours or theirs, whole or not.

        Chunks of ours that are on their way go on; nothing of them can be read here.
        """
        file = self._open.pop(mid, None)
        self._pieces.forget(mid)
        if file is not None:
            for eid in file.manifest.chunks:
                self._ours.pop(eid, None)
                self._alone.pop(eid, None)
            self._store.drop_open_file(mid)
            if not file.outgoing:
                self.refresh()
        self._store.drop_file(mid)

    # --- of others ----------------------------------------------------------------------------

    def check_room(self, mid: bytes, author: bytes) -> None:
        """Raises ``QuotaError`` if the author has too many files under way to begin another."""
        message = self._store.message(mid)
        if mid in self._open or (message is not None and message.reason != ENDED):
            return
        most = FILES_KNOWN_PER_STRANGER_MAX
        if self._people.is_friend(author):
            most = FILES_KNOWN_PER_CONTACT_MAX
        known = (not file.outgoing and file.contact == author for file in self._open.values())
        if sum(known) >= most:
            raise QuotaError("files_open")

    def offered(
        self, mid: bytes, author: bytes, manifest: Manifest, token: bytes, exp_h: int, now: Now
    ) -> list[Receipt]:
        """A manifest was opened; its message is in the store, unless it was destroyed before.

        Args:
            mid: The message, if it was not destroyed here.
            author: Fingerprint.
            manifest: Of the file.
            token: Proves the manifest's envelope, or empty.
            exp_h: End of that envelope.
            now: Both clocks.

        Returns:
            The receipt, if the file came before.

        Raises:
            AuthError: ``file_changed``, it is another file under the same message.
        """
        file = self._open.get(mid)
        if file is None:
            message = self._store.message(mid)
            if message is None or message.retracted:
                return []  # destroyed here, or by its author: nothing of it is wanted any more
            if not message.reason:  # whole already
                return self._receipts.give(author, token, exp_h, now)
            if message.reason == DAMAGED:
                return []
            if message.reason == ENDED:
                self._tell(MessageChanged(self._store.change_message(mid, reason=OPEN)))
            file = OpenFile(mid, author, False, manifest, 0, token, exp_h)
        elif _identity(file.manifest) != _identity(manifest):
            raise AuthError("file_changed")
        elif exp_h < file.exp_h:
            return []  # it was sealed again since
        else:
            known = file.manifest  # pieces and hash stay
            if manifest.chunks != known.chunks[:1]:
                known = replace(manifest, hash=known.hash)
            file = replace(file, manifest=known, token=token, exp_h=exp_h)
        self._save(file)
        self._taken.pop(mid, None)
        self.refresh()
        return []

    def refresh(self) -> None:
        """Take up what is our turn to collect: files of friends, oldest first, so many at once.

        Chunks of theirs that we carry already are looked at soon, like any arrival.
        """
        before = self._taken
        self._choose()
        for mid in self._taken:
            if mid not in before:
                self._custody.seek(self._open[mid].manifest.chunks)

    def _choose(self) -> None:
        self._taken, self._wanted = {}, {}
        self.sought: dict[bytes, None] = {}
        """Chunks that files being collected lack; another object whenever there may be more."""
        count: Counter[bytes] = Counter()
        for file in self._open.values():
            if file.outgoing or not self._people.is_friend(file.contact):
                continue
            if len(self._taken) >= FILES_TAKEN_MAX:
                break
            if count[file.contact] >= FILES_TAKEN_PER_CONTACT_MAX:
                continue
            count[file.contact] += 1
            self._taken[file.mid] = None
            for index, eid in enumerate(file.manifest.chunks):
                self._wanted.setdefault(eid, []).append(file.mid)
                if not file.marks >> index & 1 or not _all_named(file):
                    self.sought[eid] = None

    def wants(self, eid: bytes) -> bool:
        """Whether some manifest names this envelope."""
        return eid in self._wanted

    def take(self, held: Held, now: Now) -> list[Receipt] | None:
        """Take the piece out of an envelope that a manifest names.

        Returns:
            Receipts to release; None if it is no chunk of any such file after all. A manifest
            may name what it wants, so then the envelope may still be something else for us.
        """
        for mid in tuple(self._wanted.get(held.eid, ())):
            file = self._open[mid]
            index = file.manifest.chunks.index(held.eid)
            found = _piece(held, file.manifest, index)
            if found is None:
                self._counters["file_chunk"] += 1
                self._finish(file, DAMAGED)
                continue
            opened, manifest, piece = found
            if not file.marks >> index & 1:
                skip = len(opened.inner) - len(piece)
                fresh = Piece(index, held.eid, held.data, manifest.key, skip)
                self._pieces.add(mid, fresh, piece)
            self.sought.pop(held.eid, None)
            named = manifest != file.manifest
            file = replace(file, manifest=manifest, marks=file.marks | 1 << index)
            if file != self._open[mid]:
                self._open[mid] = file
                self._moved[mid] = True
            if named:  # the first chunk said which the others are
                self._choose()
                self._custody.seek(manifest.chunks[1:])
            token = opened.token if opened.wants_proof else b""
            if mid not in self._waits_s:
                self._waits_s[mid] = delay_s(self._entropy)
            receipts = self._receipts.give(file.contact, token, held.exp_h, now, self._waits_s[mid])
            if _all_marked(file):
                receipts += self._assemble(file, now)
            return receipts
        return None

    def _tell_progress(self, mid: bytes) -> None:
        """Another piece has left us, or is here."""
        message = self._store.message(mid)
        if message is not None:
            self._tell(MessageChanged(message))

    def _assemble(self, file: OpenFile, now: Now) -> list[Receipt]:
        count = len(piece_sizes(file.manifest.size))
        if self._pieces.checksum(file.mid, count) != file.manifest.hash:
            self._counters["file_hash"] += 1
            self._finish(file, DAMAGED)
            return []
        self._store.add_step(file.mid, Step(now.wall, "complete"))
        message = self._finish(file, "")
        self._tell(FileComplete(message, file.manifest.size))
        return self._receipts.give(file.contact, file.token, file.exp_h, now)

    def _finish(self, file: OpenFile, reason: str) -> Message:
        """Nothing more is collected for this one; another may have its turn."""
        del self._open[file.mid]
        if reason:
            self._pieces.forget(file.mid)
            self._store.drop_open_file(file.mid)
        else:  # whole: what was collected is the file
            self._store.close_file(file.mid)
        message = self._store.change_message(file.mid, reason=reason)
        self._tell(MessageChanged(message))
        self.refresh()
        return message

    def give_up(self, now: Now) -> None:
        """Files of which no piece can come any more."""
        ended = [
            file
            for file in self._open.values()
            if not file.outgoing and file.exp_h + FILE_WAIT_H <= hours(now.wall)
        ]
        for file in ended:
            self._finish(file, ENDED)


def _all_marked(file: OpenFile) -> bool:
    return file.marks == (1 << len(piece_sizes(file.manifest.size))) - 1


def _all_named(file: OpenFile) -> bool:
    """Whether the ids of all chunks are known."""
    return len(file.manifest.chunks) == len(piece_sizes(file.manifest.size))


def _identity(manifest: Manifest) -> tuple[bytes, int]:
    """What stays when the same file is sealed again; its hash does too, in the first chunk."""
    return manifest.key, manifest.size


def _piece(held: Held, known: Manifest, index: int) -> tuple[Opened, Manifest, bytes] | None:
    """What is in an envelope if it is this chunk of this file, and the manifest as it is then."""
    opened = open_sealed(held.data, secrets=[known.key], prekeys=())
    if opened is None:
        return None
    sizes = piece_sizes(known.size)
    try:
        place, data = open_chunk(opened.inner)
        if place == 0:
            checksum, others, data = read_table(data, len(sizes))
            if held.eid in others or known.hash not in (b"", checksum):
                return None
            known = replace(known, hash=checksum, chunks=(held.eid, *others))
    except WireError:
        return None
    return (opened, known, data) if (place, len(data)) == (index, sizes[index]) else None
