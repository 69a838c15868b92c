"""``aurora-atlan rush``: an event that thousands fight over, and the proof of what became of it."""

from aurora_atlan.commands.rush.command import command

__all__ = ["command"]
