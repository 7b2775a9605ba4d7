"""`cnn`: conv … conv, fully connected: the network of the question."""

from cnnshift.models.conv_classifier import ConvClassifier
from cnnshift.models.layers.convolution import Convolution


class Cnn(ConvClassifier):
    """Blocks of convolutions."""

    version = 1
    convolution_type = Convolution
