"""A client that books now and then, beside the load, and asks for its answer until it has it."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

import orjson

# Each has a booking under way for some tens of milliseconds.
_THREADS = 8
_ASK_EVERY_S = 0.002
_ANSWER_WITHIN_S = 10.0
_TIMEOUT_S = 10.0
_OVER = frozenset({"completed", "failed"})


class Probe:
    """Books at an even pace, a token for each booking, and keeps what each took; times in seconds."""

    def __init__(self, url: str, event_id: int, tokens: Sequence[str], *, per_s: int, seconds: float) -> None:
        self._address = urlsplit(url).netloc
        self._event_id = event_id
        self._tokens = tokens
        self._per_s = per_s
        self._count = min(len(tokens), round(per_s * seconds))
        # From sending the request to its 202, and from the 202 to the final answer.
        self.accept_s: list[float] = []
        self.answer_s: list[float] = []
        self.failures: list[str] = []

    def run(self) -> None:
        """Book as often as there is time for; returns when every booking has its answer."""
        began_at = time.monotonic()
        workers = [threading.Thread(target=self._work, args=(began_at, number)) for number in range(_THREADS)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    def _work(self, began_at: float, number: int) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=_TIMEOUT_S)
        try:
            for turn in range(number, self._count, _THREADS):
                time.sleep(max(0.0, began_at + turn / self._per_s - time.monotonic()))
                self._book(connection, self._tokens[turn])
        except (OSError, http.client.HTTPException, KeyError, ValueError) as error:
            self.failures.append(f"a probe's request failed: {error!r}")
        finally:
            connection.close()

    def _book(self, connection: http.client.HTTPConnection, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        sent_at = time.monotonic()
        status, document = _ask(connection, "POST", f"/api/bookings/{self._event_id}/book", headers)
        accepted_at = time.monotonic()
        if status != 202:
            self.failures.append(f"a probe's booking was answered {status}")
            return
        while True:
            status, answer = _ask(connection, "GET", document["statusEndpoint"], headers)
            now = time.monotonic()
            if answer.get("status") in _OVER:
                break
            if status != 200 or now - accepted_at > _ANSWER_WITHIN_S:
                self.failures.append(f"a probe's status was answered {status}: {answer.get('status')}")
                return
            time.sleep(_ASK_EVERY_S)
        self.accept_s.append(accepted_at - sent_at)
        self.answer_s.append(now - accepted_at)


def _ask(
    connection: http.client.HTTPConnection, method: str, path: str, headers: dict[str, str]
) -> tuple[int, dict[str, str]]:
    connection.request(method, path, headers=headers)
    response = connection.getresponse()
    document: dict[str, str] = orjson.loads(response.read())
    return response.status, document
