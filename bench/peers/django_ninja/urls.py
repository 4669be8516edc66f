"""The paths of the project."""

from django.http import HttpRequest, JsonResponse
from django.urls import path
from ninja import NinjaAPI

from bench.peers.django_ninja.auth import TokenAuth
from bench.peers.django_ninja.json import ORJSONParser, ORJSONRenderer
from bench.peers.django_ninja.tasks.api import router

api = NinjaAPI(title="Tasks", auth=TokenAuth(), parser=ORJSONParser(), renderer=ORJSONRenderer())
api.add_router("/tasks", router)


async def health(_: HttpRequest) -> JsonResponse:
    """Says that the process answers."""
    return JsonResponse({"status": "ok"})


urlpatterns = [
    path("api/v1/", api.urls),
    path("health", health),
]
