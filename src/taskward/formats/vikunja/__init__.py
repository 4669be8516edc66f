"""The JSON files that Vikunja exports."""
