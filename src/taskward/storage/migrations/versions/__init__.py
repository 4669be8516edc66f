"""The versions of the schema, one file each, named for their number."""
