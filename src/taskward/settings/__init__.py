"""What is configured, and nothing else: one frozen `Settings`, read from the environment and `.env`.

Only `app` and `cli` build it; everything else is handed the values it needs.
"""

from __future__ import annotations

from taskward.settings.loading import SettingsError, load_settings, variable_names
from taskward.settings.model import Settings

__all__ = ["Settings", "SettingsError", "load_settings", "variable_names"]
