"""One language for all tests, whatever this machine speaks; and what takes long is begun first."""

import os
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

for name in ("LANGUAGE", "LC_ALL", "LC_MESSAGES"):
    os.environ.pop(name, None)
os.environ["LANG"] = "C.UTF-8"

# Under nohup, or behind an & in a script, these are ignored, by every program we start as well.
signal.signal(signal.SIGINT, signal.default_int_handler)
if sys.platform != "win32":
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Machines are busy: no example fails because it took long.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

HERE = Path(__file__).parent
FIRST = (  # by how long they take, so that no worker is left alone with one of them at the end
    "lab/ble",
    "net/ble",
    "test_cli.py",
    "lab",
    "net/test_kills.py",
    "sim/test_runs.py",
    "ui/test_pty.py",
    "sim/test_command.py",
    "test_cli_files.py",
    "sim",
    "core/test_groups_world.py",
    "ui",
    "core/test_content.py",
)


def _place(item: pytest.Item) -> int:
    path = item.path.relative_to(HERE).as_posix()
    return next((n for n, start in enumerate(FIRST) if path.startswith(start)), len(FIRST))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Works with ``--no-loadscope-reorder``; a sort keeps what is equal in order."""
    items.sort(key=_place)


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: radios, nodes and networks are waited for much of the time."""
    return (os.cpu_count() or 1) + 1
