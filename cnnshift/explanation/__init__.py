"""Layer-wise equivariance errors of a network, their causes, and ablations."""
