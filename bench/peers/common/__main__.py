"""Creates the tables: `python -m bench.peers.common`. Models are imported so that they are registered."""

import asyncio

from bench.peers.common import models  # noqa: F401
from bench.peers.common.database import create_tables, engine


async def main() -> None:
    """Create the tables and leave."""
    await create_tables()
    await engine.dispose()


if __name__ == "__main__":
    asyncio.run(main())
