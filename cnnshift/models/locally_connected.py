"""`locally_connected`: `cnn` without weight sharing, a control."""

from cnnshift.models.conv_classifier import ConvClassifier
from cnnshift.models.layers.local_convolution import LocalConvolution


class LocallyConnected(ConvClassifier):
    """The network of `cnn` with a separate kernel and bias at every position."""

    version = 1
    convolution_type = LocalConvolution
