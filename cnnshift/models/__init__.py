"""Model families: Flax NNX image classifiers with validated options."""
