"""`taskward openapi`."""

from __future__ import annotations

import json
import secrets
import sys

from pydantic import SecretStr

from taskward.app import create_app
from taskward.settings import Settings


def print_openapi() -> int:
    """Print the document; it depends on no setting, so nothing needs to be configured."""
    # Constructed without validation, which would read the environment.
    nowhere = Settings.model_construct(
        database_url=SecretStr("postgresql:///"), jwt_secret=SecretStr(secrets.token_hex(32))
    )
    sys.stdout.write(json.dumps(create_app(nowhere).openapi(), indent=2, ensure_ascii=False) + "\n")
    return 0
