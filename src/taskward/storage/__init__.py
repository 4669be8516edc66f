"""Where rows live: connections, sessions, owner-checked statements, roles, migrations, the embedded server."""
