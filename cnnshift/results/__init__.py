"""The result file: its schema, reading and writing it."""
