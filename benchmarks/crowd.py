"""The users who book: their ids, and an access token for each, signed beforehand."""

from __future__ import annotations

from pathlib import Path

from aurora_atlan.config import Settings
from aurora_atlan.http.tokens import TokenIssuer
from benchmarks import plan

SECRET = "benchmarks: a secret of more than thirty-two bytes"
_VALID_FOR_S = 86_400


class Crowd:
    """Users 1 to ``count``, whose tokens stand in a file, one on each line; then those of the probe."""

    def __init__(self, folder: Path, count: int) -> None:
        self._issuer = TokenIssuer(Settings(jwt_secret=SECRET))
        self.count = count
        self.total = count + plan.PROBE_USERS
        self.tokens_file = folder / "tokens"
        self.tokens_file.write_text("".join(f"{self.token(user)}\n" for user in range(1, count + 1)), encoding="ascii")
        self.probe_tokens = [self.token(user) for user in range(count + 1, self.total + 1)]
        # Where in the file the next run begins, so that no token comes again while a server may remember it.
        self.position = 0

    def advance(self, requests: int) -> None:
        """Let the next run begin after the users who have just asked."""
        self.position = (self.position + requests) % self.count

    def token(self, user_id: int, role: str = "USER") -> str:
        """Return a token that outlives the run."""
        return self._issuer.issue(user_id, role, 1, lifetime_s=_VALID_FOR_S)
