"""`cnn`: conv … conv, fully connected: the network of the question."""

from cnnshift.models.layers.convolution import Convolution
from cnnshift.models.stacked import Stacked


class Cnn(Stacked):
    """Blocks of convolutions."""

    version = 1
    make_weights = Convolution
