"""The command line: ``aurora-atlan`` and ``python -m aurora_atlan``."""

from __future__ import annotations

from aurora_atlan.commands.cli import cli


def main() -> None:
    """Run the command line; exits 0 when done, 1 when something failed, 2 when it was asked wrongly."""
    cli(prog_name="aurora-atlan")


if __name__ == "__main__":
    main()
