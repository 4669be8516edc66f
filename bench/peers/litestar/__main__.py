"""Creates the tables: `python -m bench.peers.litestar`."""

import asyncio

from sqlalchemy.schema import CreateSchema

from bench.peers.litestar.app import sqlalchemy
from bench.peers.litestar.models import Base


async def main() -> None:
    """Create the tables and leave."""
    engine = sqlalchemy.get_engine()
    async with engine.begin() as connection:
        await connection.execute(CreateSchema("litestar"))
        await connection.run_sync(Base.metadata.create_all)
    await engine.dispose()


if __name__ == "__main__":
    asyncio.run(main())
