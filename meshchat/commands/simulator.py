"""Simulated peers: ``sim`` and ``demo``."""

import argparse
import os

from meshchat.commands.console import Command, need_terminal


def _sim(args: argparse.Namespace) -> int:
    from meshchat.sim import command

    verb = args.verb.removeprefix("sim.")
    if verb == "run" and args.attach:
        from meshchat.ui.simulated import run_attached

        need_terminal()
        return command.attach(args, run_attached)
    return command.run(verb, args)


def _demo(args: argparse.Namespace) -> int:
    from meshchat.ui.simulation import DEMO_SPEED

    speed = DEMO_SPEED if args.speed is None else args.speed
    if args.linear:
        from meshchat.linear import run_linear_demo

        return run_linear_demo(speed, args.seed)
    if args.browser is not None:
        from meshchat.ui.browser import serve_demo

        return serve_demo(args.browser, speed, args.seed)
    from meshchat.ui.simulated import run_demo

    if "TEXTUAL_DRIVER" not in os.environ:  # set for each visitor by ``--browser``
        need_terminal()
    return run_demo(speed, args.seed)


COMMANDS: dict[str, Command] = {
    "demo": _demo,
    **dict.fromkeys(
        (f"sim.{what}" for what in ("list", "describe", "run", "trace", "sweep", "compare")), _sim
    ),
}
