"""The private PostgreSQL server of `taskward serve`: made on first start, run as its child, ended with it.

Only the process that serves enters `running`; every other command asks `read_dsn`. No SQL of Taskward's own
tables lives here: whoever gets the DSN migrates.
"""

from taskward.postgres.binaries import find
from taskward.postgres.directory import clusters, default_data_dir
from taskward.postgres.errors import EmbeddedServerError
from taskward.postgres.server import EmbeddedServer, read_dsn, running

__all__ = ["EmbeddedServer", "EmbeddedServerError", "clusters", "default_data_dir", "find", "read_dsn", "running"]
