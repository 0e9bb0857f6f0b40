"""What is done to messages after they were written: reactions, edits, retractions.

The same in every kind of chat: whoever opens a body of these types hands it to ``take``. Acts
come in any order, also before their message; which one counts follows from the author's clock and
number alone, so that all devices end alike.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from msgspec.structs import replace

from meshchat.core.addressing import Addressing
from meshchat.core.body import (
    NUMBER_BYTES,
    TEXT_MAX_BYTES,
    Body,
    BodyType,
    message_id,
)
from meshchat.core.custody import Custody
from meshchat.core.events import MessageChanged, Tell
from meshchat.core.files import Files
from meshchat.core.limits import (
    EARLY_MAX,
    EARLY_PER_AUTHOR_MAX,
    MESSAGE_LIFE_S,
    REACTIONS_PER_MESSAGE_MAX,
    VERSIONS_MAX,
)
from meshchat.core.model import (
    Act,
    ChatId,
    Fate,
    Message,
    Now,
    Privacy,
    Reaction,
    State,
    Step,
    Version,
)
from meshchat.core.ports import Entropy, Store
from meshchat.core.words import EMOJI_MAX_BYTES, is_emoji
from meshchat.errors import AuthError, ProtocolError, QuotaError, UsageError, WireError
from meshchat.text import Clean

_STEPS = {BodyType.EDIT: "edit_delivered", BodyType.RETRACT: "retract_delivered"}


def text_to_send(text: str) -> Clean:
    """What people write, as it goes into a body.

    Raises:
        UsageError: It is empty or too long.
    """
    body = text.strip("\n").encode("utf-8", "replace")
    clean = Clean(body.decode())
    if not clean.strip():
        raise UsageError("empty_text", "There is nothing to send: write some text.")
    body = max(body, clean.encode(), key=len)  # canonical form can be longer
    if len(body) > TEXT_MAX_BYTES:
        raise UsageError(
            "text_too_long",
            f"The text has {len(body)} bytes; a message holds {TEXT_MAX_BYTES} "
            f"(a Cyrillic letter counts as two). Send it in parts.",
        )
    return clean


def quoted(store: Store, message: Message) -> Message | None:
    """The message that one answers; None if it is not here, or of another chat, which is a lie."""
    found = store.message(message.reply_to) if message.reply_to else None
    return found if found is not None and found.chat == message.chat else None


def count_reactions(reactions: Iterable[Reaction]) -> list[tuple[str, int, bool]]:
    """``(emoji, how many, ours among them)`` of one message, most first, then as they came."""
    count: Counter[str] = Counter()
    own = set[str]()
    for reaction in reactions:
        count[reaction.emoji] += 1
        if reaction.own:
            own.add(reaction.emoji)
    return [(emoji, many, emoji in own) for emoji, many in count.most_common()]


class Content:
    """Acts of one node, ours and those of others."""

    def __init__(
        self,
        store: Store,
        entropy: Entropy,
        custody: Custody,
        files: Files,
        addressing: Addressing,
        tell: Callable[[Tell], None],
        counters: Counter[str],
    ) -> None:
        """``counters``: what was dropped."""
        self._store = store
        self._entropy = entropy
        self._custody = custody
        self._files = files
        self._addressing = addressing
        self._tell = tell
        self._counters = counters
        self._acts = {act.id: act for act in store.acts()}  # ours in direct chats, till delivered
        self._by_envelope = {act.eid: act.id for act in self._acts.values() if act.eid}
        flags = store.get("privacy")
        self.privacy = Privacy(*(bool(flag) for flag in flags)) if flags else Privacy()

    def set_privacy(self, privacy: Privacy) -> None:
        flags = (privacy.read_receipts, privacy.typing, privacy.retractions)
        self._store.put("privacy", bytes(flags))
        self.privacy = privacy

    # --- ours ---------------------------------------------------------------------------------

    def need(self, mid: bytes) -> Message:
        """A message that is here. Raises ``UsageError``."""
        message = self._store.message(mid)
        if message is None:
            raise UsageError("unknown_message", "This message is not here (any more).")
        return message

    def _need_standing(self, mid: bytes) -> Message:
        message = self.need(mid)
        if message.retracted:
            raise UsageError("deleted", "This message was deleted by its author.")
        return message

    def react(self, mid: bytes, emoji: str, now: Now) -> Message:
        """Answer with one emoji; empty takes back."""
        message = self._need_standing(mid)
        if emoji and not is_emoji(emoji):
            raise UsageError(
                "not_one_emoji",
                f"A reaction is one emoji of at most {EMOJI_MAX_BYTES} bytes; write a reply to "
                "say more.",
            )
        author = self._addressing.author(message.chat)
        old = self._store.reaction(mid, author)
        if emoji == (old.emoji if old else ""):
            return message
        if old is None and self._store.count_reactions(mid) >= REACTIONS_PER_MESSAGE_MAX:
            raise UsageError("reactions_full", "This message has all the reactions it can have.")
        act = self._act(BodyType.REACTION, message, author, emoji, old.sent if old else 0, now)
        self._send(act, now)
        self._supersede(mid, (BodyType.REACTION,), act)
        self._changed(self._react(message, act, True))
        return message

    def edit(self, mid: bytes, text: str, now: Now) -> Message:
        """Change the text of a message of ours."""
        message = self._need_standing(mid)
        if not message.outgoing:
            raise UsageError("not_yours", "Only its author can edit a message; reply to it.")
        if message.note:
            raise UsageError("not_text", "Only what you wrote yourself can be edited.")
        clean = text_to_send(text)
        author = self._addressing.author(message.chat)
        if clean == message.text:
            return message
        last = int(max(message.sent_at, message.edited))
        act = self._act(BodyType.EDIT, message, author, clean, last, now)
        self._send(act, now)
        self._supersede(mid, (BodyType.EDIT,), act)
        self._store.add_step(mid, Step(now.wall, "edited"))
        changed = self._edit(message, act)
        self._changed(changed)
        return changed or message

    def retract(self, mid: bytes, now: Now) -> Message:
        """Delete a message of ours and ask the others to; it stays as a row without content."""
        message = self._need_standing(mid)
        if not message.outgoing:
            raise UsageError(
                "not_yours", "Only its author can ask for that; delete it here for yourself."
            )
        author = self._addressing.author(message.chat)
        went_out = any(step.what == "sealed" for step in self._store.journey(mid))
        if went_out:
            self._send(self._act(BodyType.RETRACT, message, author, "", 0, now), now)
        self._supersede(mid, (BodyType.EDIT, BodyType.REACTION))
        if message.state in (State.QUEUED, State.CARRIED):
            self.stop(message)
            self._store.change_message(mid, state=State.FAILED, reason="retracted")
        changed = self._retract(message, now)
        self._changed(changed)
        return changed or message

    def stop(self, message: Message) -> None:
        """A message of ours is not sent again, and not carried on by us."""
        if message.eid:
            self._custody.drop(message.eid, Fate.EVICTED)
        self._files.close(message.id, Fate.EVICTED)

    def _act(
        self, kind: BodyType, message: Message, author: bytes, text: str, last: int, now: Now
    ) -> Act:
        """Later than ``last`` by the author's clock, even if that was set back."""
        number = self._entropy.bytes(NUMBER_BYTES)
        return Act(
            id=message_id(author, number),
            kind=kind,
            chat=message.chat,
            author=author,
            target=message.id,
            text=text,
            sent=max(int(now.wall), last + 1),
            number=number,
            at=now.wall,
        )

    def _send(self, act: Act, now: Now) -> None:
        """Seal it, or keep it until there is a key. Raises ``UsageError`` for a full outbox."""
        body = Body(BodyType(act.kind), act.number, act.sent, act.text, reply_to=act.target)
        act = replace(act, eid=self._addressing.seal(act.chat, body, now))
        if act.chat[:1] == b"r":
            return  # no proof ever comes; the post lives as long as any
        self._store.save_act(act)
        self._acts[act.id] = act
        if act.eid:
            self._by_envelope[act.eid] = act.id

    def _forget(self, act: Act) -> None:
        self._store.drop_act(act.id)
        del self._acts[act.id]
        self._by_envelope.pop(act.eid, None)

    def _supersede(
        self, target: bytes, kinds: Sequence[BodyType], newer: Act | None = None
    ) -> None:
        """Acts of ours that a newer one makes needless are not sent any more.

        Called once the newer one is sealed: it may be refused, and then the older ones stand.
        """
        for act in [act for act in self._acts.values() if act.target == target]:
            if act.kind in kinds and (newer is None or act.id != newer.id):
                self._forget(act)
                if act.eid:
                    self._custody.drop(act.eid, Fate.EVICTED)

    def forget_target(self, mid: bytes) -> None:
        """A message is destroyed here: what we did to it is not kept, though it is on its way."""
        for act in [act for act in self._acts.values() if act.target == mid]:
            if act.kind != BodyType.RETRACT:
                self._forget(act)

    def drop_chat(self, chat: ChatId) -> None:
        """Its key was replaced: nothing more goes there."""
        for act in [act for act in self._acts.values() if act.chat == chat]:
            self._forget(act)
            if act.eid:
                self._custody.drop(act.eid, Fate.EVICTED)

    # --- their way ----------------------------------------------------------------------------

    def delivered(self, eid: bytes, now: Now) -> bool:
        """The proof for an envelope reached us. True if an act of ours was in it."""
        act = self._acts.get(self._by_envelope.get(eid, b""))
        if act is None:
            return False
        self._forget(act)
        step = _STEPS.get(BodyType(act.kind))
        if step and self._store.message(act.target) is not None:
            self._store.add_step(act.target, Step(now.wall, step))
        return True

    def ended(self, eid: bytes) -> bool:
        """An envelope of ours expired. True if an act was in it, which is to be sealed again."""
        act = self._acts.get(self._by_envelope.pop(eid, b""))
        if act is None:
            return False
        act = replace(act, eid=b"")
        self._acts[act.id] = act
        self._store.save_act(act)
        return True

    def unseal(self, chat: ChatId) -> None:
        """What is on its way to a chat cannot be read there: it is to be sealed again."""
        for act in [act for act in self._acts.values() if act.chat == chat and act.eid]:
            self._custody.drop(act.eid, Fate.EVICTED)
            self.ended(act.eid)

    def give_up(self, now: Now) -> None:
        """Acts whose time is over."""
        for act in [act for act in self._acts.values() if act.at + MESSAGE_LIFE_S <= now.wall]:
            self._forget(act)

    def seal_waiting(self, now: Now, fp: bytes | None = None) -> None:
        """Seal what waits for a key, of one contact or of all."""
        for act in [act for act in self._acts.values() if not act.eid]:
            if fp not in (None, act.chat[1:]) or not self._addressing.can_send(act.chat):
                continue
            try:
                self._send(act, now)
            except UsageError:
                return  # no room: the rest waits

    # --- of others ----------------------------------------------------------------------------

    def take(self, chat: ChatId, author: bytes, body: Body, now: Now) -> None:
        """Someone did something to a message; ``author`` is proven, nothing else.

        Raises:
            ProtocolError: It is not theirs to do, or no such thing.
        """
        if body.type is BodyType.REACTION and body.text and not is_emoji(body.text):
            raise WireError("reaction")
        act = Act(
            id=message_id(author, body.number),
            kind=body.type,
            chat=chat,
            author=author,
            target=body.reply_to,
            text=body.text,
            sent=body.sent,
            number=body.number,
            at=now.wall,
        )
        message = self._store.message(act.target)
        if message is not None:
            self._changed(self._apply(message, act, now))
        elif not self._store.buried(act.target):
            self._store.save_early(act, EARLY_MAX, EARLY_PER_AUTHOR_MAX)

    def arrived(self, message: Message, now: Now) -> Message:
        """A message was stored; what was done to it before it came is done now, untold.

        Returns:
            The message as it is then.
        """
        for act in self._store.take_early(message.id):
            try:
                message = self._apply(message, act, now) or message
            except ProtocolError as error:
                self._counters[error.reason] += 1
        return message

    # --- of both ------------------------------------------------------------------------------

    def _changed(self, message: Message | None) -> None:
        if message is not None:
            self._tell(MessageChanged(message))

    def _apply(self, message: Message, act: Act, now: Now) -> Message | None:
        """The message after an act of another; None if nothing changed."""
        if act.chat != message.chat:
            raise AuthError("act_elsewhere")
        if act.kind == BodyType.REACTION:
            return self._react(message, act, False)
        if act.author != message.author or message.outgoing:
            raise AuthError("act_not_author")
        if act.kind == BodyType.EDIT:
            if message.note:
                raise WireError("edit_note")
            return self._edit(message, act)
        return self._retract(message, now) if self.privacy.retractions else None

    def _react(self, message: Message, act: Act, own: bool) -> Message | None:
        if message.retracted:
            return None
        old = self._store.reaction(message.id, act.author)
        if old is None:
            if self._store.count_reactions(message.id) >= REACTIONS_PER_MESSAGE_MAX:
                raise QuotaError("reactions_full")
        elif (old.sent, old.number) >= (act.sent, act.number):
            return None
        emoji = Clean.line(act.text)
        self._store.save_reaction(
            Reaction(message.id, act.author, emoji, act.sent, act.number, act.at, own)
        )
        return message

    def _edit(self, message: Message, act: Act) -> Message | None:
        if message.retracted:
            return None
        if not self._store.versions(message.id):
            original = Version(0, b"", message.text, message.received_at)
            self._store.add_version(message.id, original, VERSIONS_MAX)
        version = Version(act.sent, act.number, Clean(act.text), act.at)
        if not self._store.add_version(message.id, version, VERSIONS_MAX):
            return None
        newest = self._store.versions(message.id)[-1]
        edited = float(newest.sent) if newest.number else 0.0
        return self._store.change_message(message.id, text=newest.text, edited=edited)

    def _retract(self, message: Message, now: Now) -> Message | None:
        if message.retracted:
            return None
        self._files.forget(message.id)
        self._store.drop_content(message.id)
        self._store.add_step(message.id, Step(now.wall, "retracted"))
        return self._store.change_message(message.id, text=Clean(), edited=0.0, retracted=now.wall)
