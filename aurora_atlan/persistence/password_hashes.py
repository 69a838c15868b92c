"""How passwords are hashed: argon2id with the cost that OWASP recommends."""

from __future__ import annotations

import argon2

# 19 MiB, two passes, one lane: OWASP Password Storage Cheat Sheet.
_MEMORY_KIB = 19_456
_PASSES = 2
_LANES = 1


def hasher() -> argon2.PasswordHasher:
    """Return what hashes and verifies with today's costs."""
    return argon2.PasswordHasher(time_cost=_PASSES, memory_cost=_MEMORY_KIB, parallelism=_LANES)


def hash_password(password: str) -> str:
    """Return the argon2id hash, in PHC string format, of a normalised password; takes about 20 ms and 19 MiB."""
    return hasher().hash(password)
