"""Layers that model families share, one idea per file."""
