"""`locally_connected`: the network of `cnn` without weight sharing, a control."""

from cnnshift.models.conv_classifier import ConvClassifier
from cnnshift.models.layers.local_convolution import LocalConvolution


class LocallyConnected(ConvClassifier):
    """Blocks in which every position has weights, and a bias, of its own."""

    version = 1
    convolution_type = LocalConvolution
