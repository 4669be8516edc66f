"""What is written to PostgreSQL, message by message."""

from __future__ import annotations


def kinds(data: bytes) -> str:
    """The first letter of each message."""
    found = ""
    while data:
        found += chr(data[0])
        data = data[1 + int.from_bytes(data[1:5], "big") :]
    return found
