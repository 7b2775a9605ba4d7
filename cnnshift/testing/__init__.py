"""Assertions for a test suite: a model is invariant, a layer is equivariant, or the message says where it is not."""
