"""Training with one recipe, augmentations, and the cache of trained weights."""
