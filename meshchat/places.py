"""Where settings are: apart from the profile, so that ``--help`` finds its language fast."""

import os
from pathlib import Path


def chosen_home(home: str | Path | None) -> Path | None:
    """The directory our user named, or that of ``MESHCHAT_HOME``; None: the platform's places."""
    chosen = home or os.environ.get("MESHCHAT_HOME")
    return Path(chosen).expanduser().absolute() if chosen else None


def settings_path(home: str | Path | None) -> Path:
    """The settings file of the profile in ``home``, whether it is there or not."""
    chosen = chosen_home(home)
    if chosen is None:
        import platformdirs

        chosen = platformdirs.user_config_path("meshchat", appauthor=False)
    return chosen / "config.toml"
