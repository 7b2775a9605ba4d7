"""Why a network is not invariant to translation: the layer probe, its causes one by one, and plain words."""
