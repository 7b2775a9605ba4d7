"""The ideas that families share, one per file: convolution, padding, downsampling, heads."""
