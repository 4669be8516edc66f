"""The interactive documentation at `/docs`, to which the root leads. Every asset comes from this process, so it works
without a network.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import FileResponse
from starlette.staticfiles import StaticFiles

from taskward.http.middleware import BASE_PATH
from taskward.http.reading import quality
from taskward.http.responses import encode_line, json_response, public_path
from taskward.http.sending import PIECE

# Swagger UI sets inline styles and data: images; scripts come from this origin only.
_POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"

# Relative addresses, so that the page works below a mount point or a proxy's prefix.
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Taskward API</title>
<link rel="stylesheet" href="docs/assets/swagger-ui.css">
<link rel="icon" href="data:,">
<style>
/* Every operation may meet ten problems, which look alike: their descriptions say what tells them apart. */
:is([data-code^="4"], [data-code^="5"]) :is(.headers-wrapper, .response-controls, .model-example) { display: none; }
</style>
<div id="ui"></div>
<script src="docs/assets/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</html>
"""
# Swagger UI takes lines of JSON for JSON, by their media type, and would send an example of them as one quoted string.
_START = """\
const lines = {
  afterLoad() {
    const sample = this.fn.getSampleSchema;
    this.fn.getSampleSchema = (schema, type, ...rest) => sample(schema, type?.replace("x-ndjson", "plain"), ...rest);
  },
};
SwaggerUIBundle({
  url: "openapi.json", dom_id: "#ui", deepLinking: true, persistAuthorization: true, tryItOutEnabled: true,
  plugins: [lines],
});
"""


class _Assets(StaticFiles):
    """Files of which no more is in memory than is about to be sent, however many clients take nothing of them."""

    def file_response(self, *arguments: Any, **options: Any) -> Response:
        response = super().file_response(*arguments, **options)
        if isinstance(response, FileResponse):
            response.chunk_size = PIECE
        return response


_ASSETS = _Assets(directory=Path(str(files("fastapi_offline") / "static")))

_JSON = {"Content-Type": "application/json"}
_documents: WeakKeyDictionary[FastAPI, tuple[dict[str, Any], str, bytes]] = WeakKeyDictionary()

router = APIRouter(include_in_schema=False)


def install(app: FastAPI) -> None:
    """Serve the page, its assets and the OpenAPI document."""
    app.router.routes.extend(router.routes)


@router.get("/")
async def root(request: Request) -> Response:
    """Lead a person to the documentation, and tell a program where it is."""
    headers = {"Vary": "Accept"}
    if _prefers_a_page(request):
        return Response(status_code=307, headers={**headers, "Location": public_path(request, "/docs")})
    addresses = {"docs": "/docs", "openapi": "/openapi.json", "api": BASE_PATH}
    found = {name: public_path(request, path) for name, path in addresses.items()}
    return json_response({"name": request.app.title, **found}, headers=headers)


def _prefers_a_page(request: Request) -> bool:
    wanted = dict.fromkeys((b"text/html", b"application/json"), 0.0)
    accept = b",".join(value for name, value in request.scope["headers"] if name == b"accept")
    for entry in accept.lower().split(b","):
        media_range, *parameters = (part.strip() for part in entry.split(b";"))
        if media_range in wanted:
            wanted[media_range] = quality(parameters)
    return wanted[b"text/html"] > wanted[b"application/json"]


@router.get("/docs")
async def docs_page() -> Response:
    return Response(_PAGE, media_type="text/html", headers={"Content-Security-Policy": _POLICY})


@router.get("/docs/start.js")
async def docs_start() -> Response:
    return Response(_START, media_type="text/javascript")


@router.get("/docs/assets/{name}")
async def docs_asset(name: str, request: Request) -> Response:
    # A route and no mount: below one, `root_path` is the mount's, and the problem of a missing file would link there.
    # Nobody needs a part of an asset, and a range that is none would be answered by something that is no problem.
    request.scope["headers"] = [header for header in request.scope["headers"] if header[0] != b"range"]
    return await _ASSETS.get_response(name, request.scope)


@router.get("/openapi.json")
async def openapi_document(request: Request) -> Response:
    return Response(_written(request.app, str(request.scope.get("root_path", "")).rstrip("/")), headers=_JSON)


def _written(app: FastAPI, root: str) -> bytes:
    """The document as text, written once and shared by all who take it."""
    document = app.openapi()
    known = _documents.get(app)
    if known is None or known[0] is not document or known[1] != root:
        servers = {"servers": [{"url": root}]} if root else {}
        known = _documents[app] = document, root, encode_line({**document, **servers})
    return known[2]
