"""The arguments of the command line: what there is and how it is explained; no deeds."""

import argparse
import contextlib
from collections.abc import Sequence
from typing import Any

from meshchat import __version__
from meshchat.errors import UsageError
from meshchat.i18n import N_
from meshchat.parser import Parser

EXIT_CODES = N_(
    "exit codes: 0 done, 1 something unexpected, or a failed check of doctor, 2 wrong usage, 3 a "
    "person has to decide about trust first, 4 profile or store, 5 network, 130 interrupted"
)


def _options(network: bool, top: bool) -> Parser:
    """Options that may stand before and after the verb; only the first sets defaults."""
    parser = Parser(add_help=False)

    def add(*names: str, default: object = None, **rest: object) -> None:
        given = default if top else argparse.SUPPRESS
        parser.add_argument(*names, default=given, **rest)  # type: ignore[arg-type]

    add("--home", metavar="DIR", help="directory of the profile (or MESHCHAT_HOME)")
    add("--json", action="store_true", default=False, help="print JSON, for scripts")
    add("--passphrase-file", metavar="F", help="read the passphrase from the first line of F")
    if network:
        add("--listen", metavar="A:P", help="accept links on this address and port")
        add("--peer", metavar="H:P", action="append", help="dial this node too; may be repeated")
        add("--linear", action="store_true", default=False, help="lines instead of screens")
        add("--no-lan", action="store_true", default=False, help="do not use the local network")
        add("--no-ble", action="store_true", default=False, help="do not use Bluetooth")
    return parser


def _add_sim(verb: Any, verbs: Any) -> None:
    """``sim`` and ``demo``: no profile, so none of its options; ``--json`` names a file here."""
    none = Parser(add_help=False)
    scenario = ("scenario", {"metavar": "SCENARIO", "help": "a name from the list, or a TOML file"})
    seed = (
        "--seed",
        {
            "type": int,
            "metavar": "N",
            "help": "another number, other chances: keys, delays, losses",
        },
    )
    peers = ("--peers", {"type": int, "metavar": "N", "help": "how many people"})
    fast = ("--fast", {"action": "store_true", "help": "without cryptography, same sizes"})
    json = ("--json", {"metavar": "OUT", "dest": "json_out", "help": "write the result; - prints"})
    report = ("--report", {"metavar": "DIR", "help": "write a page with plots"})
    sets = {"action": "append", "metavar": "KEY=VALUE"}
    speed = {"type": float, "metavar": "N", "help": "simulated seconds in one (default 20)"}

    sim = verb(verbs, "sim", "simulated peers: real nodes in virtual time", parent=none)
    sims = sim.add_subparsers(metavar="WHAT", required=True, parser_class=Parser)
    verb(sims, "sim.list", "scenarios that come with meshchat", parent=none)
    verb(sims, "sim.describe", "what a scenario is about", scenario, parent=none)
    verb(
        sims,
        "sim.run",
        "run a scenario",
        scenario,
        seed,
        peers,
        fast,
        ("--set", {**sets, "help": "replace a value of the file; may be repeated"}),
        json,
        report,
        ("--attach", {"metavar": "NAME", "help": "see it through the screens of this person"}),
        ("--speed", {**speed, "default": 20.0}),
        parent=none,
    )
    verb(
        sims,
        "sim.trace",
        "run a recorded contact trace",
        ("contacts", {"metavar": "CONTACTS", "help": "who could talk to whom, plain or .gz"}),
        ("--workload", {"required": True, "metavar": "FILE", "help": "who writes to whom"}),
        (
            "--rate",
            {
                "type": float,
                "default": 12_000.0,
                "metavar": "BYTES_PER_S",
                "help": "of each contact (default 12000)",
            },
        ),
        ("--buffer", {"type": int, "metavar": "BYTES", "help": "room a node has for mail"}),
        (
            "--seed",
            {
                "type": int,
                "default": 0,
                "metavar": "N",
                "help": "another number, other chances: keys, delays, losses",
            },
        ),
        fast,
        json,
        report,
        parent=none,
    )
    verb(
        sims,
        "sim.sweep",
        "run a scenario many times over",
        scenario,
        ("--set", {**sets, "help": "KEY=a,b,c: run each value; may be repeated"}),
        ("--seeds", {"type": int, "default": 1, "metavar": "N", "help": "with so many seeds"}),
        peers,
        fast,
        ("--workers", {"type": int, "metavar": "N", "help": "processes (default: all cores)"}),
        ("--dask", {"metavar": "ADDRESS", "help": "run on this Dask cluster"}),
        ("--out", {"metavar": "DIR", "default": "sweep", "help": "folder for the results"}),
        parent=none,
    )
    verb(
        sims,
        "sim.compare",
        "two results side by side",
        ("one", {"metavar": "A.json"}),
        ("other", {"metavar": "B.json"}),
        parent=none,
    )
    verb(
        verbs,
        "demo",
        "try the screens in a simulated town; nothing is saved",
        ("--speed", {**speed, "default": None}),
        ("--seed", {"type": int, "default": 1, "metavar": "N"}),
        ("--linear", {"action": "store_true", "help": "lines instead of screens"}),
        ("--browser", {"type": int, "metavar": "PORT", "help": "show it in a browser here"}),
        parent=none,
    )


def _add_groups(verb: Any, verbs: Any) -> None:
    """``group`` and what can be done with one."""
    in_group = ("group", {"metavar": "GROUP"})
    member = ("member", {"metavar": "MEMBER", "help": "a contact, ~TAG or fingerprint"})
    group = verb(verbs, "group", "private groups of up to 32 people")
    groups = group.add_subparsers(metavar="WHAT", required=True, parser_class=Parser)
    verb(
        groups,
        "group.new",
        "make a group of yourself and contacts",
        ("name", {"metavar": "NAME"}),
        ("members", {"metavar": "CONTACT", "nargs": "*"}),
    )
    verb(groups, "group.add", "add a contact; they read what comes from now on", in_group, member)
    verb(groups, "group.remove", "remove a member; they read nothing more", in_group, member)
    verb(groups, "group.admin", "let a member add and remove others as well", in_group, member)
    verb(groups, "group.rename", "change its name", in_group, ("new", {"metavar": "NEW"}))
    verb(groups, "group.leave", "leave a group", in_group)
    verb(groups, "group.list", "groups you are in")
    verb(groups, "group.members", "who is in a group", in_group)
    verb(
        groups,
        "group.seized",
        "a device is in the wrong hands: out of all groups",
        member,
        ("--undo", {"action": "store_true", "help": "it was a mistake: write to them again"}),
    )


def _add_content(verb: Any, verbs: Any) -> None:
    """What is done to messages and chats."""
    mid = ("id", {"metavar": "ID", "help": "of the message, 16 digits"})
    to = ("to", {"metavar": "TO", "help": "a contact or #room"})
    undo = ("--undo", {"action": "store_true", "help": "take it back"})
    switch = ("on", {"metavar": "on|off", "nargs": "?", "choices": ("on", "off")})
    verb(
        verbs,
        "react",
        "answer a message with one emoji",
        mid,
        ("emoji", {"metavar": "EMOJI", "nargs": "?", "help": "left out: take yours back"}),
    )
    verb(
        verbs,
        "edit",
        "change the text of a message of yours",
        mid,
        ("text", {"metavar": "TEXT", "help": "the new text, or - for standard input"}),
    )
    verb(
        verbs,
        "delete",
        "delete a message here",
        mid,
        (
            "--everywhere",
            {"action": "store_true", "help": "ask its readers too; they may not do it"},
        ),
    )
    verb(
        verbs,
        "search",
        "find messages by the beginnings of words",
        ("text", {"metavar": "TEXT", "help": 'words; "words in quotes" exactly as they stand'}),
        ("--in", {"metavar": "TO", "dest": "to", "help": "only this contact or #room"}),
        ("--limit", {"type": int, "default": 50, "help": "at most so many (default 50)"}),
        ("--before", {"metavar": "ID", "help": "only those older than this message"}),
    )
    verb(verbs, "read-receipts", "whether contacts may know what you have read", switch)
    verb(verbs, "typing", "whether contacts on a direct link may see that you write", switch)
    verb(
        verbs,
        "disappear",
        "let new messages of a chat disappear on both sides",
        to,
        ("time", {"metavar": "TIME|off", "nargs": "?", "help": "such as 30s, 5m, 8h, 1d, 4w"}),
    )
    verb(
        verbs,
        "retain",
        "destroy messages of a chat here when they are old",
        to,
        ("days", {"metavar": "DAYS|off", "nargs": "?", "help": "how long they are kept"}),
    )
    verb(
        verbs,
        "mute",
        "no notifications of a chat",
        to,
        ("--mentions", {"action": "store_true", "help": "but of messages that mention you"}),
        undo,
    )
    verb(verbs, "pin", "keep a chat at the top", to, undo)
    verb(verbs, "archive", "put a chat away", to, undo)


def parse(words: Sequence[str]) -> argparse.Namespace:
    """What was typed, as ``make_parser`` has it: that is only made where more than options was."""
    screens = Parser(add_help=False, parents=[_options(network=True, top=True)])
    screens.set_defaults(verb="")
    with contextlib.suppress(UsageError):  # the whole parser says it better
        found, rest = screens.parse_known_args(words)
        if not rest:
            return found
    return make_parser().parse_args(words)


def make_parser() -> Parser:
    """Parses to a namespace with ``verb``, as ``commands.find`` takes it; empty: the screens."""
    parser = Parser(
        prog="meshchat",
        description="A messenger that needs no internet. Without a command: the terminal screens.",
        epilog=EXIT_CODES,
        parents=[_options(network=True, top=True)],
    )
    parser.add_argument("--version", action="version", version=f"meshchat {__version__}")
    parser.set_defaults(verb="")
    common, network = (_options(network=more, top=False) for more in (False, True))
    verbs = parser.add_subparsers(metavar="COMMAND", parser_class=Parser)

    def verb(
        group: "argparse._SubParsersAction[Parser]",
        name: str,
        what: str,
        *arguments: tuple[str, dict[str, Any]],
        parent: Parser = common,
    ) -> Parser:
        made = group.add_parser(
            name.rpartition(".")[2], help=what, description=what, parents=[parent]
        )
        for names, rest in arguments:
            made.add_argument(*names.split(), **rest)
        made.set_defaults(verb=name)
        return made

    plainly = Parser(add_help=False)  # no profile, no passphrase
    plainly.add_argument("--home", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    plainly.add_argument("--json", action="store_true", default=argparse.SUPPRESS)
    yes = ("--yes", {"action": "store_true", "help": "do not ask"})
    named = ("name", {"metavar": "NAME"})
    alias = ("--as", {"metavar": "NAME", "dest": "petname", "help": "your name for them"})
    secret = ("--passphrase-file", {"metavar": "F", "dest": "room_file", "help": "its passphrase"})

    verb(
        verbs,
        "init",
        "make a profile",
        ("--name", {"required": True, "help": "what others may call you"}),
        ("--restore", {"action": "store_true", "help": "from the 24 words of a backup"}),
        ("--small", {"action": "store_true", "help": "less memory to unlock, for small boards"}),
    )
    verb(verbs, "node", "run without a screen until stopped", parent=network)
    verb(
        verbs,
        "card",
        "show your card, which others add you by",
        ("--qr", {"action": "store_true", "help": "as a QR code"}),
        ("--out", {"metavar": "FILE", "help": "write it to a new file"}),
    )
    verb(verbs, "backup", "show the 24 words that restore your identity")
    verb(
        verbs,
        "passphrase",
        "change the passphrase",
        ("--new-passphrase-file", {"metavar": "F", "dest": "new_file", "help": "the new one"}),
        ("--small", {"action": "store_true", "help": "less memory to unlock, for small boards"}),
    )
    verb(verbs, "name", "show or change your own name", ("new", {"nargs": "?"}))

    contact = verb(verbs, "contact", "people")
    people = contact.add_subparsers(metavar="WHAT", required=True, parser_class=Parser)
    verb(
        people,
        "contact.add",
        "add a person by card",
        ("card", {"metavar": "CARD", "help": "card text, a file with it, or -"}),
        alias,
        ("--replaces", {"metavar": "NAME", "help": "the contact whose new key this is"}),
    )
    verb(people, "contact.list", "everybody you know")
    verb(
        people,
        "contact.verify",
        "record that you compared the safety words",
        named,
        ("--words", {"action": "store_true", "help": "only show the words"}),
        ("--undo", {"action": "store_true", "help": "take the mark back"}),
        yes,
    )
    verb(
        people,
        "contact.check",
        "compare seven signs with a contact linked directly; verifies",
        named,
        ("--same", {"action": "store_true", "help": "answer the check that is shown: the same"}),
        ("--different", {"action": "store_true", "help": "answer it: they differ"}),
    )
    verb(
        people,
        "contact.silent",
        "tell when nothing was heard of them for so many days",
        named,
        ("days", {"type": int, "metavar": "N", "help": "0: do not tell"}),
    )
    verb(people, "contact.block", "hear nothing of them any more", named)
    verb(people, "contact.unblock", "undo block", named)
    verb(
        people,
        "contact.rename",
        "change your name for them",
        ("old", {"metavar": "OLD"}),
        ("new", {"metavar": "NEW"}),
    )
    verb(people, "contact.accept", "make a stranger who wrote a contact", named, alias)
    verb(
        people,
        "contact.introduce",
        "send two contacts each other's card",
        ("one", {"metavar": "A"}),
        ("other", {"metavar": "B"}),
    )

    revocation = verb(verbs, "revocation", "end a key that fell into other hands")
    revoking = revocation.add_subparsers(metavar="WHAT", required=True, parser_class=Parser)
    verb(revoking, "revocation.give", "give a contact yours to keep", named)
    verb(revoking, "revocation.list", "contacts whose revocation you keep")
    verb(
        revoking,
        "revocation.release",
        "tell all contacts of somebody that their key is lost; for good",
        ("name", {"metavar": "NAME", "nargs": "?"}),
        ("--own", {"action": "store_true", "help": "your own key"}),
        yes,
    )

    room = verb(verbs, "room", "rooms anybody with the name can read and write")
    rooms = room.add_subparsers(metavar="WHAT", required=True, parser_class=Parser)
    # here the passphrase is the room's; that of the profile goes before the verb
    joins = Parser(add_help=False)
    joins.add_argument("--home", metavar="DIR", default=argparse.SUPPRESS)
    joins.add_argument("--json", action="store_true", default=argparse.SUPPRESS)
    verb(rooms, "room.join", "join or make a room", named, secret, parent=joins)
    verb(rooms, "room.list", "rooms you are in")
    verb(rooms, "room.leave", "leave a room", named)
    post = ("id", {"metavar": "ID", "help": "a post, by its id"})
    undo = ("--undo", {"action": "store_true", "help": "take it back"})
    verb(
        rooms,
        "room.hide",
        "show a post no more, here",
        post,
        ("--author", {"action": "store_true", "help": "all that its author posts here"}),
        (
            "--publish",
            {"action": "store_true", "help": "also for those who hold you for a moderator"},
        ),
        undo,
    )
    verb(rooms, "room.block", "store nothing more of a post's author in its room", post, undo)
    verb(rooms, "room.moderator", "hide what a post's author hides", post, undo)

    _add_groups(verb, verbs)

    verb(
        verbs,
        "send",
        "write a message; prints its id",
        ("to", {"metavar": "TO", "help": "a contact, #room or group:NAME"}),
        ("text", {"metavar": "TEXT", "help": "the message, or - to read it from standard input"}),
        ("--reply", {"metavar": "ID", "help": "as an answer to this message of the same chat"}),
    )
    verb(
        verbs,
        "send-file",
        "send a file of up to 2 MiB to a contact; prints the id of its message",
        ("to", {"metavar": "TO", "help": "a contact"}),
        ("path", {"metavar": "PATH", "help": "the file, or - for standard input"}),
        ("--name", {"metavar": "NAME", "help": "what the reader sees instead of its name"}),
    )
    verb(
        verbs,
        "save",
        "write a file that came to the disk, under a name of our own; prints its path",
        ("id", {"metavar": "ID", "help": "of its message, 16 digits"}),
        ("folder", {"metavar": "DIR", "nargs": "?", "help": "where (default: in the profile)"}),
    )
    _add_content(verb, verbs)
    verb(
        verbs,
        "read",
        "show messages",
        ("to", {"metavar": "TO", "nargs": "?", "help": "a contact, #room or group:NAME; else all"}),
        ("--follow", {"action": "store_true", "help": "go on with new ones"}),
        ("--since", {"metavar": "ID", "help": "only those after this message"}),
        ("--limit", {"type": int, "default": 50, "help": "at most so many (default 50)"}),
        ("--hidden", {"action": "store_true", "help": "also what is hidden in rooms"}),
        ("--keep-unread", {"action": "store_true", "help": "do not mark them as read"}),
    )
    verb(verbs, "message", "the state and journey of a message", ("id", {}))
    _add_sim(verb, verbs)
    verb(verbs, "status", "identity, transports, neighbours, custody, queue")
    verb(verbs, "doctor", "check this device and say what to do")
    verb(verbs, "wipe", "destroy the profile", yes)
    verb(
        verbs,
        "decoy",
        "put a decoy, with a passphrase of its own, in front of the profile",
        ("--name", {"required": True, "help": "what the decoy is called"}),
        (
            "--decoy-passphrase-file",
            {"metavar": "F", "dest": "decoy_file", "help": "its passphrase"},
        ),
        (
            "--destroy",
            {"action": "store_true", "help": "its passphrase destroys the key of the real one"},
        ),
        yes,
    )
    verb(
        verbs,
        "threat",
        "what meshchat cannot protect you from, in plain words",
        ("topic", {"metavar": "TOPIC", "nargs": "?", "help": "one section; default: all"}),
        parent=plainly,
    )
    return parser
