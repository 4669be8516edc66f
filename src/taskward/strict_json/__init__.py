"""JSON of clients: read to the letter of RFC 8259, bounded before it is parsed, and in parts where it is long."""
