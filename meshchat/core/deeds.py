"""What each command of our user does."""

from collections.abc import Callable
from typing import Any, ClassVar

from meshchat.core.chats import Chats
from meshchat.core.contacts import People
from meshchat.core.events import (
    Accept,
    AddContact,
    AddMember,
    AnswerCheck,
    Block,
    CancelCheck,
    Command,
    CreateGroup,
    Delete,
    Edit,
    GiveRevocation,
    Introduce,
    JoinRoom,
    LeaveGroup,
    LeaveRoom,
    MakeAdmin,
    MarkInRoom,
    MarkRead,
    React,
    ReleaseRevocation,
    RemoveMember,
    Rename,
    RenameGroup,
    ReportSeized,
    Retract,
    SaveDraft,
    Send,
    SendFile,
    SetChat,
    SetName,
    SetPrivacy,
    SetTimer,
    StartCheck,
    Typing,
    Verify,
    WatchSilence,
)
from meshchat.core.exchange import Exchange
from meshchat.core.model import (
    ChatOptions,
    Contact,
    Group,
    Message,
    Now,
    Privacy,
    Room,
)
from meshchat.core.neighbours import Neighbours
from meshchat.core.ports import Store
from meshchat.errors import UsageError

DRAFT_MAX_CHARS = 20_000  # a paste somebody is still cutting down


class Deeds:
    """Carries them out on one node."""

    def __init__(
        self,
        store: Store,
        people: People,
        chats: Chats,
        neighbours: Neighbours,
        exchange: Exchange,
    ) -> None:
        self._store = store
        self._people = people
        self._chats = chats
        self._neighbours = neighbours
        self._exchange = exchange

    def do(self, command: Command, now: Now) -> object:
        """Returns what the command answers.

        Raises:
            UsageError: It is refused. What it had begun is for the caller to undo.
        """
        return self._commands[type(command)](self, command, now)

    # --- people ---------------------------------------------------------------------------------

    def _do_add(self, command: AddContact, now: Now) -> Contact:
        contact = self._people.add(command, now)
        for receipt in self._chats.receipts.settle(contact.fp, now):
            self._exchange.release(receipt, now)
        if command.replaces:
            self._chats.outbox.key_replaced(command.replaces, now)
        self._contacts_changed(now, contact.fp)
        return contact

    def _do_accept(self, command: Accept, now: Now) -> Contact:
        contact = self._people.accept(command.fp, command.petname)
        self._contacts_changed(now, contact.fp)
        for receipt in self._chats.receipts.settle(contact.fp, now):
            self._exchange.release(receipt, now)
        return contact

    def _contacts_changed(self, now: Now, fp: bytes) -> None:
        self._chats.inbox.keys_changed()
        self._neighbours.regreet(now)
        self._chats.outbox.seal_waiting(now, fp)
        self._exchange.try_soon(now)

    def _do_block(self, command: Block, now: Now) -> Contact:
        contact = self._people.block(command.fp, command.blocked, now)
        self._chats.inbox.keys_changed()
        if command.blocked:
            self._chats.announces.announce(now)
            self._chats.announces.share_card(now, self._people.friends())
            self._neighbours.drop_contact(command.fp, "blocked", now)
        else:
            self._chats.announces.share_card(now, [contact])  # it could not follow us meanwhile
            self._neighbours.regreet(now)
        return contact

    def _do_rename(self, command: Rename, _now: Now) -> Contact:
        return self._people.rename(command.fp, command.petname)

    def _do_verify(self, command: Verify, _now: Now) -> Contact:
        return self._people.verify(command.fp, command.verified)

    def _do_start_check(self, command: StartCheck, now: Now) -> Contact:
        contact = self._people.writable(command.fp)
        line = self._neighbours.line(command.fp)
        if line is None:
            raise UsageError(
                "not_near",
                f"{contact.petname} is not linked directly: meet on the same network, and see "
                f"that both of you have added the other.",
            )
        self._neighbours.checks.start(line, now)
        return contact

    def _do_answer_check(self, command: AnswerCheck, now: Now) -> Contact:
        self._neighbours.checks.answer(command.fp, command.same, now)
        return self._people.verify(command.fp, command.same)

    def _do_cancel_check(self, command: CancelCheck, _now: Now) -> None:
        self._neighbours.checks.cancel(command.fp)

    def _do_watch(self, command: WatchSilence, now: Now) -> Contact:
        contact = self._people.watch(command.fp, command.days)
        self._people.notice_silence(now)
        return contact

    def _do_introduce(self, command: Introduce, now: Now) -> tuple[Message, Message]:
        return self._chats.introduce(command.one, command.other, now)

    def _do_give_revocation(self, command: GiveRevocation, now: Now) -> Message:
        return self._chats.give_revocation(command.to, now)

    def _do_release_revocation(self, command: ReleaseRevocation, now: Now) -> Contact | None:
        return self._chats.revocations.release(command.of, now)

    # --- rooms and groups -----------------------------------------------------------------------

    def _do_join(self, command: JoinRoom, now: Now) -> Room:
        room = self._chats.rooms.join(command.name, command.key, command.private, now)
        self._exchange.try_soon(now)
        return room

    def _do_leave(self, command: LeaveRoom, _now: Now) -> Room:
        return self._chats.rooms.leave(command.rid)

    def _do_mark_in_room(self, command: MarkInRoom, now: Now) -> None:
        self._chats.rooms.mark(command, now)

    def _do_create_group(self, command: CreateGroup, now: Now) -> Group:
        return self._chats.groups.create(command.name, command.members, now)

    def _do_add_member(self, command: AddMember, now: Now) -> Group:
        return self._chats.groups.add(command.gid, command.fp, now)

    def _do_remove_member(self, command: RemoveMember, now: Now) -> Group:
        return self._chats.groups.remove(command.gid, command.fp, now)

    def _do_make_admin(self, command: MakeAdmin, now: Now) -> Group:
        return self._chats.groups.make_admin(command.gid, command.fp, now)

    def _do_rename_group(self, command: RenameGroup, now: Now) -> Group:
        return self._chats.groups.rename(command.gid, command.name, now)

    def _do_leave_group(self, command: LeaveGroup, now: Now) -> Group:
        return self._chats.groups.leave(command.gid, now)

    def _do_report_seized(self, command: ReportSeized, now: Now) -> list[Group]:
        return self._chats.groups.report_seized(command.fp, command.seized, now)

    # --- messages -------------------------------------------------------------------------------

    def _do_send(self, command: Send, now: Now) -> Message:
        return self._chats.send(command.chat, command.text, command.life_s, now, command.reply_to)

    def _do_send_file(self, command: SendFile, now: Now) -> Message:
        return self._chats.send_file(command.chat, command.name, command.data, command.life_s, now)

    def _do_read(self, command: MarkRead, now: Now) -> None:
        self._chats.mark_read(command.chat, command.seq, now)

    def _do_draft(self, command: SaveDraft, now: Now) -> None:
        self._store.save_draft(command.chat, command.text[:DRAFT_MAX_CHARS], now.wall)

    def _do_typing(self, command: Typing, now: Now) -> None:
        shown, fp = self._chats.content.privacy.typing, command.chat[1:]
        if shown and command.chat[:1] == b"c" and self._people.is_friend(fp):
            self._neighbours.typing(fp, command.on, now)

    def _do_react(self, command: React, now: Now) -> Message:
        return self._chats.content.react(command.mid, command.emoji, now)

    def _do_edit(self, command: Edit, now: Now) -> Message:
        return self._chats.content.edit(command.mid, command.text, now)

    def _do_retract(self, command: Retract, now: Now) -> Message:
        return self._chats.content.retract(command.mid, now)

    def _do_delete(self, command: Delete, now: Now) -> None:
        self._chats.outbox.delete(command.mid, now)

    # --- settings -------------------------------------------------------------------------------

    def _do_set_chat(self, command: SetChat, now: Now) -> ChatOptions:
        return self._chats.keeping.set_chat(command, now)

    def _do_timer(self, command: SetTimer, now: Now) -> ChatOptions:
        return self._chats.set_timer(command.chat, command.seconds, now)

    def _do_privacy(self, command: SetPrivacy, _now: Now) -> Privacy:
        return self._chats.set_privacy(command)

    def _do_name(self, command: SetName, now: Now) -> None:
        self._people.rename_self(command.name)
        self._chats.announces.announce(now)

    # ``Any``: each method takes exactly the command it stands under.
    _commands: ClassVar[dict[type, Callable[[Any, Any, Now], object]]] = {
        Send: _do_send,
        SendFile: _do_send_file,
        AddContact: _do_add,
        Verify: _do_verify,
        Rename: _do_rename,
        Accept: _do_accept,
        Block: _do_block,
        Introduce: _do_introduce,
        JoinRoom: _do_join,
        LeaveRoom: _do_leave,
        CreateGroup: _do_create_group,
        AddMember: _do_add_member,
        RemoveMember: _do_remove_member,
        MakeAdmin: _do_make_admin,
        RenameGroup: _do_rename_group,
        LeaveGroup: _do_leave_group,
        ReportSeized: _do_report_seized,
        MarkRead: _do_read,
        SaveDraft: _do_draft,
        SetName: _do_name,
        StartCheck: _do_start_check,
        AnswerCheck: _do_answer_check,
        CancelCheck: _do_cancel_check,
        WatchSilence: _do_watch,
        GiveRevocation: _do_give_revocation,
        ReleaseRevocation: _do_release_revocation,
        MarkInRoom: _do_mark_in_room,
        React: _do_react,
        Edit: _do_edit,
        Retract: _do_retract,
        Delete: _do_delete,
        SetChat: _do_set_chat,
        SetTimer: _do_timer,
        SetPrivacy: _do_privacy,
        Typing: _do_typing,
    }
