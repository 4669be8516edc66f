"""Everything of one user as a file: exports, and imports of them and of what other services export."""
