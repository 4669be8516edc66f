"""The service as Litestar's documentation teaches it: SQLAlchemy plugin, DTOs, msgspec bodies, its own JWT security."""
