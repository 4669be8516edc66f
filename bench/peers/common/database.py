"""The engine, the session dependency and the creation of tables."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.schema import CreateSchema
from sqlmodel import SQLModel
from sqlmodel.ext.asyncio.session import AsyncSession

from bench.peers.common.config import settings

engine = create_async_engine(settings.database_url, pool_size=settings.pool_size, max_overflow=0)
session_factory = async_sessionmaker(engine, class_=AsyncSession, expire_on_commit=False)


async def create_tables() -> None:
    """Create the schema and its tables where they are missing."""
    async with engine.begin() as connection:
        await connection.execute(CreateSchema("common", if_not_exists=True))
        await connection.run_sync(SQLModel.metadata.create_all)


async def get_session() -> AsyncIterator[AsyncSession]:
    """A session for one request."""
    async with session_factory() as session:
        yield session


SessionDep = Annotated[AsyncSession, Depends(get_session)]
