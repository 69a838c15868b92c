"""A FastAPI service with routes of its own over the engine; our HTTP is not used.

    DATABASE_URL=postgresql://... REDIS_URL=redis://... python fastapi_host.py

Then http://127.0.0.1:8000/docs lets you make a show, a guest and a booking.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated

import uvicorn
from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from aurora_atlan import BookingError, BookTickets, NewEvent, Settings, Supervisor, UnavailableError, UnknownEventError


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncGenerator[dict[str, Supervisor], None]:
    """Run one supervisor for as long as the service lives."""
    supervisor = Supervisor(Settings.from_env())
    supervisor.start()
    try:
        yield {"supervisor": supervisor}
    finally:
        # Stopping finishes what is in flight, so it takes a moment, in which the loop has other things to do.
        await asyncio.to_thread(supervisor.stop)


def running_supervisor(request: Request) -> Supervisor:
    """Return the supervisor that the lifespan has started."""
    supervisor = request.state.supervisor
    assert isinstance(supervisor, Supervisor)
    return supervisor


Engine = Annotated[Supervisor, Depends(running_supervisor)]
app = FastAPI(title="Shows", lifespan=lifespan)


class Show(BaseModel):
    """A show to be sold."""

    name: str
    venue: str
    time: datetime
    seats: int


class Guest(BaseModel):
    """Somebody who may book."""

    name: str
    email: str


class Wish(BaseModel):
    """Who wants how many seats. The same key is the same wish, however often it is sent."""

    guest_id: int
    seats: int = 1
    key: str | None = None


class Answer(BaseModel):
    """What became of a wish."""

    job_id: str
    booked: bool
    reason: str | None


@app.post("/shows")
async def add_show(show: Show, engine: Engine) -> int:
    """Put a show on sale and return its id."""
    # What has no async form waits for PostgreSQL: never in the event loop's own thread.
    event = await asyncio.to_thread(engine.create_event, NewEvent(show.name, show.venue, show.time, show.seats))
    return event.id


@app.post("/guests")
async def add_guest(guest: Guest, engine: Engine) -> int:
    """Make an account that books through this service only, and return its id."""
    user = await asyncio.to_thread(engine.create_user, guest.name, guest.email)
    return user.id


@app.post("/shows/{show_id}/bookings")
async def book(show_id: int, wish: Wish, engine: Engine) -> Answer:
    """Book, and answer when it is decided."""
    receipt = await engine.submit_async(BookTickets(show_id, wish.guest_id, wish.seats, idempotency_key=wish.key))
    status = await engine.wait_async(receipt, timeout=20)
    return Answer(job_id=str(status.job_id), booked=status.booking is not None, reason=status.reason)


@app.exception_handler(BookingError)
async def not_booked(_: Request, error: Exception) -> JSONResponse:
    """Answer what was not carried out; the error's text is a sentence for people."""
    if isinstance(error, UnavailableError):
        headers = {"Retry-After": str(max(1, round(error.retry_after_s)))}
        return JSONResponse({"detail": str(error)}, status_code=503, headers=headers)
    return JSONResponse({"detail": str(error)}, status_code=404 if isinstance(error, UnknownEventError) else 409)


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ.get("SHOWS_PORT", "8000")))
