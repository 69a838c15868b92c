"""The commands of ``aurora-atlan``, a module each with a click command named ``command``."""
