"""``python -m meshchat``."""

from meshchat.cli import main

raise SystemExit(main())
