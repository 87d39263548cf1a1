"""The HTTP service and its page: thin layers over `Library`, safe to leave open on a desk."""

from seehear.server.app import create_app
from seehear.server.settings import Settings

__all__ = ["Settings", "create_app"]
