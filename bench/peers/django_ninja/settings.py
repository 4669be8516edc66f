"""Settings of the project: the database with Django's connection pool, and no app or middleware that nobody uses."""

import os
from urllib.parse import unquote, urlsplit

_database = urlsplit(os.environ["DATABASE_URL"])
_pool_size = int(os.environ.get("POOL_SIZE", "10"))

SECRET_KEY = os.environ["JWT_SECRET"]
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]

INSTALLED_APPS = ["bench.peers.django_ninja.tasks"]
MIDDLEWARE: list[str] = []
ROOT_URLCONF = "bench.peers.django_ninja.urls"

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": _database.hostname or "",
        "PORT": str(_database.port or ""),
        "NAME": _database.path.removeprefix("/"),
        "USER": unquote(_database.username or ""),
        "PASSWORD": unquote(_database.password or ""),
        # Persistent connections are not for ASGI; the pool takes their place.
        "OPTIONS": {"pool": {"min_size": _pool_size, "max_size": _pool_size}},
    },
}

TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
