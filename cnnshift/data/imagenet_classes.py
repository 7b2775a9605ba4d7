"""Names of the 1,000 classes of ImageNet-1k (Russakovsky et al. 2015), in the order of the labels.

That order is the one of the identifiers of the classes' synsets. A name is the synset's first lemma in WordNet 3.0
(Princeton University), or one that tells it apart where two synsets begin alike: cranes are birds and machines.
"""

from __future__ import annotations

import functools
from importlib import resources


@functools.cache
def imagenet_classes() -> tuple[str, ...]:
    """The names; all different."""
    text = resources.files("cnnshift.data").joinpath("imagenet_classes.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())
