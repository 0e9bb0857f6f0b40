"""The part of ``MemoryStore`` that holds what is done to messages, as ``content_tables`` does."""

from collections.abc import Sequence

from meshchat.core.model import Act, Reaction, Version
from meshchat.sim.memory_files import MemoryFiles
from meshchat.sim.memory_proofs import by_number
from meshchat.sim.pool import Pool
from meshchat.text import Clean

Early = tuple[bytes, bytes, int]  # target, author, kind


class MemoryContent(MemoryFiles):
    """Reactions, versions, acts on their way and too early, ids of what was destroyed."""

    __slots__ = ("_acts", "_buried", "_early", "_reactions", "_versions")

    def __init__(self, pool: Pool | None = None) -> None:
        super().__init__(pool)
        self._reactions: dict[bytes, dict[bytes, tuple[int, Reaction]]] = {}  # by message, author
        self._versions: dict[bytes, tuple[Version, ...]] = {}  # in order
        self._acts: dict[bytes, Act] = {}
        self._early: dict[Early, tuple[int, Act]] = {}
        self._buried: dict[bytes, float] = {}

    # --- reactions and versions ---

    def reactions(self, mids: Sequence[bytes]) -> list[Reaction]:
        found = [row for mid in set(mids) for row in self._reactions.get(mid, {}).values()]
        return [reaction for _, reaction in sorted(found, key=by_number) if reaction.emoji]

    def reaction(self, mid: bytes, author: bytes) -> Reaction | None:
        row = self._reactions.get(mid, {}).get(author)
        return row[1] if row else None

    def count_reactions(self, mid: bytes) -> int:
        return len(self._reactions.get(mid, ()))

    def save_reaction(self, reaction: Reaction) -> None:
        of_message = self._reactions.get(reaction.mid)
        if of_message is None:
            of_message = {}
            self._put(self._reactions, reaction.mid, of_message)
        reaction = reaction._replace(emoji=Clean.line(str(reaction.emoji)))
        self._put(of_message, reaction.author, (self._number(), reaction))

    def versions(self, mid: bytes) -> list[Version]:
        return list(self._versions.get(mid, ()))

    def add_version(self, mid: bytes, version: Version, keep: int) -> bool:
        known = self._versions.get(mid, ())
        if any(one[:2] == version[:2] for one in known):
            return False
        version = version._replace(text=Clean(str(version.text)))
        self._put(self._versions, mid, tuple(sorted((*known, version))[-keep:]))
        return True

    # --- acts ---

    def save_act(self, act: Act) -> None:
        self._put(self._acts, act.id, act)

    def acts(self) -> list[Act]:
        return sorted(self._acts.values(), key=lambda act: (act.at, act.id))

    def drop_act(self, mid: bytes) -> None:
        self._drop(self._acts, mid)

    def save_early(self, act: Act, keep: int, keep_of_author: int) -> None:
        self._changes()
        key = (act.target, act.author, act.kind)
        there = self._early.get(key)
        if there is None or (there[1].sent, there[1].number) < (act.sent, act.number):
            self._put(self._early, key, (self._number(), act))
        kept = sorted(self._early.items(), key=lambda item: -item[1][0])
        of_author = [key for key, _ in kept if key[1] == act.author][keep_of_author:]
        for key in of_author:
            self._drop(self._early, key)
        of_chat = [key for key, row in kept if row[1].chat == act.chat and key in self._early]
        for key in of_chat[keep:]:
            self._drop(self._early, key)

    def take_early(self, target: bytes) -> list[Act]:
        found = [row for key, row in self._early.items() if key[0] == target]
        for _, act in found:
            self._drop(self._early, (act.target, act.author, act.kind))
        return [act for _, act in sorted(found, key=by_number)]

    # --- destruction ---

    def buried(self, mid: bytes) -> bool:
        return mid in self._buried

    def forget_buried(self, wall: float, early_before: float) -> None:
        self._changes()
        for mid in [mid for mid, until in self._buried.items() if until <= wall]:
            self._drop(self._buried, mid)
        for key in [key for key, (_, act) in self._early.items() if act.at < early_before]:
            self._drop(self._early, key)

    def _drop_texts(self, mid: bytes) -> None:
        self._drop(self._reactions, mid)
        self._drop(self._versions, mid)
