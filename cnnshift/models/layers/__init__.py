"""Layers that model families share, one idea per file.

Constructors draw the initial weights from their last argument, `rngs`.
"""
