"""ONE table of commands: what ``cli`` carries out for each verb of ``arguments``.

Each module here has the commands of one area, with a table of its own. Importing them costs next
to nothing: what is heavy is imported inside the functions.
"""

from meshchat.commands import chats, files, groups, node, people, profile, rooms, simulator
from meshchat.commands.console import Command

COMMANDS: dict[str, Command] = {
    **node.COMMANDS,
    **profile.COMMANDS,
    **people.COMMANDS,
    **rooms.COMMANDS,
    **groups.COMMANDS,
    **chats.COMMANDS,
    **files.COMMANDS,
    **simulator.COMMANDS,
}
