"""Assertions for test suites: shift invariance of a model and shift equivariance of a layer."""
