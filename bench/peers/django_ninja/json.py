"""JSON by orjson, which Django Ninja's documentation names for speed."""

from typing import Any

import orjson
from django.http import HttpRequest
from ninja.parser import Parser
from ninja.renderers import BaseRenderer


class ORJSONParser(Parser):
    """Reads request bodies."""

    def parse_body(self, request: HttpRequest) -> Any:
        return orjson.loads(request.body)


class ORJSONRenderer(BaseRenderer):
    """Writes answers."""

    media_type = "application/json"

    def render(self, request: HttpRequest, data: Any, *, response_status: int) -> bytes:
        return orjson.dumps(data)
