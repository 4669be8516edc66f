"""The application: `uvicorn bench.peers.common.main:app`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from bench.peers.common.database import create_tables, engine
from bench.peers.common.routes import router


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Make the tables before the first request, close the connections after the last."""
    await create_tables()
    yield
    await engine.dispose()


app = FastAPI(title="Tasks", lifespan=lifespan)
app.include_router(router)


@app.get("/health")
async def health() -> dict[str, str]:
    """Says that the process answers."""
    return {"status": "ok"}
