"""Control messages of groups under way: sealed as direct messages until they are proven.

Also those that came too early to be judged: they wait here, a bounded number of them.
"""

from collections.abc import Iterable

from msgspec.structs import replace

from meshchat.core.body import NUMBER_BYTES, Body, BodyType
from meshchat.core.contacts import People
from meshchat.core.epochs import Control, Leave, Rekey, decode_control, derive, encode_control
from meshchat.core.limits import (
    CLOCK_FLOOR_S,
    GROUP_KEYS_S,
    GROUP_PARKED_MAX,
    GROUP_PARKED_PER_CONTACT_MAX,
)
from meshchat.core.model import GroupMail, Now
from meshchat.core.ports import Entropy
from meshchat.core.ports.groups import GroupStore
from meshchat.core.sealer import Sealer
from meshchat.errors import QuotaError


class ControlMail:
    """Every control message of ours that is not proven, and of others that is not judged."""

    def __init__(self, store: GroupStore, entropy: Entropy, people: People, sealer: Sealer) -> None:
        self._store = store
        self._entropy = entropy
        self._people = people
        self._sealer = sealer
        self.load()

    def load(self) -> None:
        """Take everything from the store, also after that went back to where a step began."""
        self._mail = {mail.number: mail for mail in self._store.group_mail()}
        self._by_eid = {mail.eid: mail.number for mail in self._mail.values() if mail.eid}

    def _save(self, mail: GroupMail) -> None:
        self._mail[mail.number] = mail
        if mail.eid:
            self._by_eid[mail.eid] = mail.number
        self._store.save_group_mail(mail)

    def _drop(self, mails: Iterable[GroupMail]) -> None:
        gone = list(mails)
        for mail in gone:
            del self._mail[mail.number]
            self._by_eid.pop(mail.eid, None)
        if gone:  # with the root in it, if it was a rekey
            self._store.drop_group_mail([mail.number for mail in gone])

    # --- ours ---------------------------------------------------------------------------------

    def send(self, gid: bytes, fp: bytes, control: Control, now: Now) -> None:
        """Tell a contact; again whenever its envelope ends, as long as mail of the epoch comes."""
        data = encode_control(control)
        same = (mail.gid == gid and mail.control == data for mail in self._to(fp))
        if not any(same):
            number = self._entropy.bytes(NUMBER_BYTES)
            mail = GroupMail(number, gid, fp, data, now.wall + GROUP_KEYS_S)
            self._save(mail)
            self._seal(mail, now)

    def _to(self, fp: bytes) -> list[GroupMail]:
        return [mail for mail in self._mail.values() if mail.fp == fp and not mail.incoming]

    def _seal(self, mail: GroupMail, now: Now) -> None:
        if not self._people.is_friend(mail.fp):
            return
        exp_h = self._sealer.dm_end_h(mail.fp, None, now)
        if exp_h is not None:
            body = Body(BodyType.GROUP, mail.number, int(now.wall), control=mail.control)
            data = self._sealer.dm(mail.fp, body, exp_h, now)
            # A removal that is refused because much waits would be a removal too late.
            eid = self._sealer.keep(data, now, [mail.fp], bounded=False)
            self._by_eid.pop(mail.eid, None)
            self._save(replace(mail, eid=eid))

    def seal_waiting(self, now: Now, fp: bytes | None = None) -> None:
        """Seal what waits for a key, of one contact or of all."""
        for mail in list(self._mail.values()):
            if not mail.incoming and not mail.eid and fp in (None, mail.fp):
                self._seal(mail, now)

    def delivered(self, eid: bytes) -> bool:
        """The proof for an envelope reached us. True if it was one of these."""
        number = self._by_eid.get(eid)
        if number is None:
            return False
        self._drop([self._mail[number]])
        return True

    def forget_leaving(self, gid: bytes) -> None:
        """We are in again: nobody has to hear any more that we left."""
        leave = encode_control(Leave(gid))
        self._drop([mail for mail in self._mail.values() if mail.control == leave])

    def confirmed(self, fp: bytes, eid: bytes) -> None:
        """A contact wrote on this epoch: so the rekey arrived."""
        self._drop([mail for mail in self._to(fp) if epoch_of(mail.control) == eid])

    def ended(self, eids: Iterable[bytes]) -> list[GroupMail]:
        """Envelopes expired: these are sealed anew by ``seal_waiting``."""
        found = [self._by_eid.pop(eid) for eid in eids if eid in self._by_eid]
        mails = [self._mail[number] for number in found]
        for mail in mails:
            self._save(replace(mail, eid=b""))
        return mails

    def unseal(self, fp: bytes) -> list[bytes]:
        """What is on its way to somebody cannot be read there; returns the envelopes."""
        eids = [mail.eid for mail in self._to(fp) if mail.eid]
        self.ended(eids)
        return eids

    def give_up(self, now: Now) -> None:
        """Drop what is too old; a clock that was not set yet says nothing of age."""
        for mail in list(self._mail.values()):
            if mail.until < CLOCK_FLOOR_S:
                self._save(replace(mail, until=now.wall + GROUP_KEYS_S))
        self._drop([mail for mail in self._mail.values() if mail.until <= now.wall])

    # --- too early ----------------------------------------------------------------------------

    def park(self, number: bytes, gid: bytes, fp: bytes, control: bytes, now: Now) -> None:
        """Keep a rekey until the epochs before it are known.

        Raises:
            QuotaError: ``group_parked``, too many wait already.
        """
        waiting = [mail for mail in self._mail.values() if mail.incoming]
        if any(mail.number == number or mail.control == control for mail in waiting):
            return
        theirs = sum(mail.fp == fp for mail in waiting)
        if len(waiting) >= GROUP_PARKED_MAX or theirs >= GROUP_PARKED_PER_CONTACT_MAX:
            raise QuotaError("group_parked")
        self._save(GroupMail(number, gid, fp, control, now.wall + GROUP_KEYS_S, b"", True))

    def parked(self, gid: bytes) -> list[GroupMail]:
        """Those of one group, oldest first."""
        return [mail for mail in self._mail.values() if mail.incoming and mail.gid == gid]

    def unpark(self, mail: GroupMail) -> None:
        """It was judged, perhaps while another was."""
        if mail.number in self._mail:
            self._drop([mail])


def epoch_of(control: bytes) -> bytes:
    """The id of the epoch a rekey of ours begins; empty for other control messages."""
    read = decode_control(control)
    return derive(read.gid, read.root, ()).eid if isinstance(read, Rekey) else b""
