"""Simulated peers: ``sim`` and ``demo``."""

import argparse

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
    from meshchat.ui.simulated import DEMO_SPEED, run_demo

    need_terminal()
    return run_demo(DEMO_SPEED if args.speed is None else args.speed, args.seed)


COMMANDS: dict[str, Command] = {
    "demo": _demo,
    **dict.fromkeys(
        (f"sim.{what}" for what in ("list", "describe", "run", "trace", "sweep", "compare")), _sim
    ),
}
