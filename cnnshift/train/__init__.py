"""Training by one stated recipe, and the cache of what came out."""
