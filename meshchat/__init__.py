"""meshchat: a local mesh messenger. Holds the version only, so that importing it is free."""

__version__ = "0.1.0"
