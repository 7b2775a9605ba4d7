"""Image classifiers: families of Flax NNX networks, each with its options."""
