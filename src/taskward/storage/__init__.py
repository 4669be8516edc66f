"""Where rows live: connections, sessions, owner-checked statements, the account, exports, roles, migrations."""
