"""The command line: ``aurora-atlan`` and ``python -m aurora_atlan``."""

from __future__ import annotations

import signal

from aurora_atlan.commands.cli import cli


def main() -> None:
    """Run the command line; exits 0 when done, 1 when something failed, 2 when it was asked wrongly."""
    # As Ctrl-C does, so that what a command has started is stopped with it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    cli(prog_name="aurora-atlan")


if __name__ == "__main__":
    main()
