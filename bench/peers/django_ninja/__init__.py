"""The same service as a Django project: Django Ninja, async views, Django's ORM, as their documentation recommends."""
