"""Messages to groups and from their members: chains, skipped keys, who really wrote."""

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

from meshchat.core.body import Body, BodyType, decode_body, encode_body, message_id
from meshchat.core.contacts import People
from meshchat.core.custody import Custody
from meshchat.core.envelope import Opened
from meshchat.core.epochs import MEMBER_FP_BYTES, Keys, Reached, decode_control, reach, step
from meshchat.core.group_book import Book, Learned
from meshchat.core.inbox import Heard, Inbox, Opener
from meshchat.core.limits import GROUP_SKIPPED_MAX
from meshchat.core.model import NO_TEXT, Epoch, GroupMember, Held, Kind, Now, group_chat
from meshchat.core.ports import Store
from meshchat.core.sealed import (
    GroupPost,
    check_group_message,
    group_message,
    open_group_message,
    read_group_message,
)
from meshchat.core.sealer import Sealer
from meshchat.errors import AuthError, QuotaError, WireError
from meshchat.text import Clean

WAITING_MAX = 64  # messages that come before what they need; as many as ``Store.seek`` takes
NOT_MEMBER = "not_member"
"""Reason of a message whose author was no member any more when it came."""


class Talk:
    """Seals and opens for one node."""

    def __init__(
        self,
        store: Store,
        people: People,
        custody: Custody,
        sealer: Sealer,
        counters: Counter[str],
        book: Book,
        inbox: Inbox,
        wrote: Callable[[bytes, bytes], None],
        learned: Callable[[bytes, Learned, Now], None],
    ) -> None:
        """``wrote`` hears that a contact has this epoch, ``learned`` of keys of members."""
        self._store = store
        self._people = people
        self._custody = custody
        self._sealer = sealer
        self._counters = counters
        self._book = book
        self._inbox = inbox
        self._wrote = wrote
        self._learned = learned
        inbox.add_secrets(self._secrets)
        self._waiting: dict[bytes, tuple[bytes, int]] = {}  # envelope -> the chain it waits for

    # --- writing ------------------------------------------------------------------------------

    def shun(self, gid: bytes, fp: bytes, shunned: bool) -> None:
        """Write nothing more that this member can read, or do so again."""
        out = [one for one in self._shunned(gid) if one != fp]
        self._store.put(f"shunned:{gid.hex()}", b"".join([*out, fp] if shunned else out))

    def _shunned(self, gid: bytes) -> list[bytes]:
        data = self._store.get(f"shunned:{gid.hex()}") or b""
        return [data[at : at + MEMBER_FP_BYTES] for at in range(0, len(data), MEMBER_FP_BYTES)]

    def sendable(self, gid: bytes) -> list[Epoch]:
        """The epochs a message is sealed on now, one for each line of the group."""
        out = self._shunned(gid)
        return [
            epoch
            for epoch in self._book.line(gid).sendable()
            if not any(member.fp in out for member in epoch.members)
        ]

    def seal(self, epoch: Epoch, body: Body, exp_h: int) -> bytes:
        """An envelope to the members of an epoch. The key it takes from our chain is gone."""
        by = next(place for place, one in enumerate(epoch.members) if one.fp == self._book.me)
        found = self._store.group_chain(epoch.eid, by)
        assert found is not None, "an epoch with a head key has its chains"
        n, chain = found
        chain, key = step(chain)
        self._store.save_group_chain(epoch.eid, by, n + 1, chain)
        seed, place, raw = self._book.seed(epoch.gid), epoch.gid + epoch.eid, encode_body(body)
        return self._sealer.shared(
            epoch.head_key,
            lambda e: group_message(seed, place, by, n, key, e, raw),
            raw,
            exp_h,
        )

    # --- reading ------------------------------------------------------------------------------

    def _secrets(self, _day: int) -> Iterator[tuple[bytes, Opener]]:
        """Of every epoch whose mail may still come."""
        for epoch in self._book.epochs.values():
            if epoch.head_key:
                yield epoch.head_key, partial(self._open, epoch.eid)

    def _open(self, eid: bytes, opened: Opened, held: Held, now: Now) -> Kind:
        epoch = self._book.epochs.get(eid)
        if epoch is None:  # destroyed in this very step
            return Kind.CARRIED
        post, e, place = read_group_message(opened.inner), opened.header.e, epoch.gid + eid
        if post.by >= len(epoch.members):
            raise AuthError("group_member")
        author = epoch.members[post.by]
        if author.fp == self._book.me:
            self._wrote_before(epoch, post, e)
            return Kind.CARRIED
        if not author.key:
            return Kind.CARRIED  # tried again when the key is known
        check_group_message(post, author.key, place, e)
        found = self._store.group_chain(eid, post.by)
        assert found is not None, "an epoch with a head key has its chains"
        key, reached = self._store.group_skipped(eid, post.by, post.n), None
        if key is None:
            try:
                reached = reach(found[1], found[0], post.n)
            except QuotaError:
                self._wait(held.eid, eid, post.by)
                return Kind.CARRIED
            key = reached.key
        raw = open_group_message(post, key, place, e)
        self._used(epoch, post.by, post.n, reached, now)
        contact = self._people.begins(author.fp)
        if contact:
            self._wrote(contact.fp, eid)
        body = decode_body(raw)
        if body.type is BodyType.GROUP:
            self._keys_came(epoch, author, body.control, now)
        elif not (contact and contact.blocked):
            self._inbox.on_heard(
                Heard(
                    group_chat(epoch.gid),
                    message_id(author.key, body.number),
                    contact.fp if contact else author.fp,
                    NO_TEXT if contact else Clean.line(body.name),
                    body,
                    held.exp_h,
                    "" if self._book.roster(epoch.gid).get(author.fp) else NOT_MEMBER,
                ),
                now,
            )
        return Kind.MINE

    def _wrote_before(self, epoch: Epoch, post: GroupPost, e: bytes) -> None:
        """One of ours comes back: if we do not know it, we are an old copy of ourselves.

        Its number is used up for its readers, who would drop what we write with it.
        """
        check_group_message(post, self._book.own_key(epoch.gid), epoch.gid + epoch.eid, e)
        found = self._store.group_chain(epoch.eid, post.by)
        if found is not None and found[0] <= post.n:
            n, chain = found
            for _ in range(n, post.n + 1):  # signed by us: nobody else makes us count far
                chain, _key = step(chain)
            self._store.save_group_chain(epoch.eid, post.by, post.n + 1, chain)

    def _used(self, epoch: Epoch, by: int, n: int, reached: Reached | None, now: Now) -> None:
        """A message opened: its key goes, and what was passed over is kept for a while."""
        eid = epoch.eid
        if reached is None:
            self._store.drop_group_skipped(eid, by, n)
            return
        self._store.save_group_chain(eid, by, n + 1, reached.chain)
        if reached.skipped:
            self._store.save_group_skipped(
                epoch.gid, eid, by, reached.skipped, now.wall, GROUP_SKIPPED_MAX
            )
        waiting = [each for each, chain in self._waiting.items() if chain == (eid, by)]
        for each in waiting:
            del self._waiting[each]
        if waiting:
            self._custody.seek(waiting)

    def _wait(self, envelope: bytes, eid: bytes, by: int) -> None:
        """Too far ahead: to be tried again when more of this member has come."""
        while len(self._waiting) >= WAITING_MAX:
            del self._waiting[next(iter(self._waiting))]
        self._waiting[envelope] = (eid, by)
        self._counters["group_jump"] += 1

    def _keys_came(self, epoch: Epoch, author: GroupMember, raw: bytes, now: Now) -> None:
        """An admin tells everybody the keys of members."""
        control = decode_control(raw)
        if not isinstance(control, Keys):
            raise WireError("group_control")
        if not author.admin:
            raise AuthError("group_admin")
        if control.found[-1][0] >= len(epoch.members):
            raise WireError("group_keys")
        found = {epoch.members[place].fp: key for place, key in control.found}
        self._learned(epoch.gid, self._book.learn_keys(epoch.gid, found), now)
