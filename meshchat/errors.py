"""Every exception meshchat raises on purpose, ordered by who is wrong.

A class docstring is the explanation for a person; ``reason`` is a stable
snake_case code for tests, logs and scripts. Messages to our own user say what
to do next and never carry keys or message text.
"""


class MeshchatError(Exception):
    """Something meshchat knows how to explain."""

    exit_code = 1

    def __init__(self, reason: str, message: str = "") -> None:
        super().__init__(message or reason.replace("_", " "))
        self.reason = reason


class ProtocolError(MeshchatError):
    """A peer sent something wrong. Never leaves ``Node.handle``: it is counted and dropped."""


class WireError(ProtocolError):
    """Bytes that cannot be decoded, or are over a size limit."""


class HandshakeError(ProtocolError):
    """Version, key or order of a link handshake is wrong."""


class AuthError(ProtocolError):
    """A signature, tag or commitment does not fit."""


class QuotaError(ProtocolError):
    """Allowed in kind, too much in amount."""


class UsageError(MeshchatError):
    """Our user or caller asked for something impossible. The text is shown as it is."""

    exit_code = 2


class TrustError(UsageError):
    """A person has to decide first: the key changed, the contact is blocked or unknown."""

    exit_code = 3


class StoreError(MeshchatError):
    """The profile cannot be opened or written: locked, corrupt, too new, full."""

    exit_code = 4


class TransportError(MeshchatError):
    """A radio or network is not usable, and why."""

    exit_code = 5
