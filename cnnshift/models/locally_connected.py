"""`locally_connected`: the network of `cnn` without weight sharing, a control."""

from cnnshift.models.layers.local import LocallyConnected as Local
from cnnshift.models.stacked import Stacked


class LocallyConnected(Stacked):
    """Blocks in which every position has weights, and a bias, of its own."""

    version = 1
    make_weights = Local
