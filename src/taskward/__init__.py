"""A private task list for each user of an app, behind a REST API."""

__version__ = "0.1.0"
