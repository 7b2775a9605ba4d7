"""The document of each command."""
