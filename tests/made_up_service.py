"""A made-up service for the rush's client: just enough of the API, and it may misbehave."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import uuid4

from aiohttp import web

Misbehaviour = Callable[["MadeUpService", web.Request], Awaitable[web.StreamResponse | None]]


@dataclass
class Job:
    """A booking attempt as the made-up service keeps it."""

    job_id: str
    user_id: int
    event_id: int
    number: int
    confirmed: bool
    polls: int = 0


@dataclass
class MadeUpService:
    """Just enough of the API for a rush: one event; tokens are the users' ids."""

    capacity: int = 2
    # How many tickets it sells, whatever the capacity.
    sells: int = 2
    polls_before_answer: int = 1
    jobs: dict[str, Job] = field(default_factory=dict)
    seen: Counter[str] = field(default_factory=Counter)
    # Asked before every request; an answer of its own replaces the honest one.
    misbehave: Misbehaviour | None = None

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._misbehaving])
        app.router.add_get("/livez", self._live)
        app.router.add_post("/api/auth/register", self._register)
        app.router.add_post("/api/auth/login", self._login)
        app.router.add_post("/api/events/create", self._create)
        app.router.add_get("/api/events/7/view", self._view)
        app.router.add_post("/api/bookings/7/book", self._book)
        app.router.add_get("/api/bookings/status/{job_id}", self._status)
        return app

    @web.middleware
    async def _misbehaving(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        self.seen[f"{request.method} {request.path.rsplit('/', 1)[0]}"] += 1
        instead = None if self.misbehave is None else await self.misbehave(self, request)
        return await handler(request) if instead is None else instead

    async def _live(self, _request: web.Request) -> web.Response:
        return web.json_response({})

    async def _register(self, request: web.Request) -> web.Response:
        user_id = self.seen["POST /api/auth"]
        email = (await request.json())["email"]
        return web.json_response({"user": {"id": user_id, "email": email, "role": "USER"}, "token": str(user_id)})

    async def _login(self, _request: web.Request) -> web.Response:
        return web.json_response({"user": {"id": 1, "role": "ADMIN"}, "token": "1"})

    async def _create(self, _request: web.Request) -> web.Response:
        return web.json_response({"id": 7}, status=201)

    async def _view(self, _request: web.Request) -> web.Response:
        return web.json_response({"id": 7, "booked": sum(job.confirmed for job in self.jobs.values())})

    async def _book(self, request: web.Request) -> web.Response:
        return self.accept(request)

    def accept(self, request: web.Request) -> web.Response:
        user_id = int(request.headers["Authorization"].removeprefix("Bearer "))
        key = request.headers["Idempotency-Key"]
        if key not in self.jobs:
            number = len(self.jobs) + 1
            self.jobs[key] = Job(str(uuid4()), user_id, 7, number, confirmed=number <= self.sells)
        job = self.jobs[key]
        return web.json_response(
            {
                "jobId": job.job_id,
                "queueNumber": job.number,
                "queuePosition": 1,
                "statusEndpoint": f"/api/bookings/status/{job.job_id}",
                "durability": "none",
            },
            status=202,
        )

    async def _status(self, request: web.Request) -> web.Response:
        [job] = [job for job in self.jobs.values() if job.job_id == request.match_info["job_id"]]
        job.polls += 1
        if job.polls <= self.polls_before_answer:
            return web.json_response({"jobId": job.job_id, "status": "queued", "queuePosition": 1, "reason": None})
        booking = {"id": job.number, "status": "confirmed"}
        return web.json_response(
            {
                "jobId": job.job_id,
                "status": "completed" if job.confirmed else "failed",
                "reason": None if job.confirmed else "sold_out",
                "result": {"booking": booking} if job.confirmed else None,
                "queuePosition": 0,
                "eventId": 7,
                "userId": job.user_id,
                "quantity": 1,
                "queueNumber": job.number,
                "acceptedAt": "2026-11-22T19:26:28.000000Z",
                "finishedAt": "2026-11-22T19:26:28.250000Z",
            }
        )


@asynccontextmanager
async def serving(service: MadeUpService, port: int) -> AsyncIterator[str]:
    runner = web.AppRunner(service.app(), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()
