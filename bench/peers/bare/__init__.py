"""An ASGI function on asyncpg: no framework, no validation, no row-level security. What Python could do at best."""
