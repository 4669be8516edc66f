"""Clients that are generated from the OpenAPI document, and a program for each that uses it.

`package-lock.json` pins the generators of TypeScript; the first test that needs them installs them.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent
