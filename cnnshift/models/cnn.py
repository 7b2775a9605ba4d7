"""`cnn`: blocks of convolution, activation and pooling, then one linear layer."""

from cnnshift.models.conv_classifier import ConvClassifier
from cnnshift.models.layers.convolution import Convolution


class Cnn(ConvClassifier):
    """A plain convolutional network."""

    version = 1
    convolution_type = Convolution
