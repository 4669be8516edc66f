"""The commonly written stack: FastAPI, SQLModel's `AsyncSession`, python-jose and uvicorn, as tutorials join them."""
