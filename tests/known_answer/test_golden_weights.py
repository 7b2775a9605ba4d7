"""The same options and seed give the same network. If a change is intended, increase the family's `version`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from cnnshift.catalog import MODELS
from cnnshift.models.base import build, parse_model
from cnnshift.spec import ModelSpec

# Version, number of parameters, mean absolute initial weight, and mean absolute logit of one image.
GOLDEN = {
    "mlp": (1, 49795, 0.082863, 0.640579),
    "cnn": (1, 6275, 0.109930, 1.619815),
    "locally_connected": (1, 169859, 0.144254, 3.984985),
    "cnn:pool=none": (1, 30467, 0.031801, 1.549524),
    "cnn:pool=avg": (1, 6275, 0.109930, 0.609187),
    "cnn:pool=stride": (1, 6275, 0.109930, 0.557423),
    "cnn:pool=blur": (1, 6275, 0.109930, 0.823845),
    "cnn:pool=aps": (1, 6275, 0.109930, 1.619815),
    "cnn:pool=lps": (1, 10355, 0.099852, 1.985391),
    "cnn:pool=tips": (1, 6835, 0.137364, 0.874429),
    "cnn:pool=flc": (1, 6275, 0.109930, 0.535302),
    "cnn:pool=ddac": (1, 15347, 0.095708, 0.342149),
    "cnn:pool=afc,activation=poly,norm=alias_free": (1, 6555, 0.120823, 0.825378),
    "cnn:stride=3,depth=2": (1, 1299, 0.165610, 0.505658),
    "cnn:padding=circular,depth=2": (1, 2019, 0.127761, 1.082966),
    "cnn:padding=reflect,depth=2": (1, 2019, 0.127761, 1.193411),
    "cnn:padding=replicate,depth=2": (1, 2019, 0.127761, 1.121239),
    "cnn:padding=valid,depth=2": (1, 1443, 0.158823, 1.371728),
    "cnn:padding=full,depth=2": (1, 2451, 0.110642, 0.613250),
    "cnn:head=gap": (1, 5987, 0.112420, 2.181056),
    "cnn:head=gmp": (1, 5987, 0.112420, 3.050607),
    "cnn:norm=batch": (1, 6443, 0.121927, 2.308244),
    "cnn:norm=layer": (1, 6387, 0.114228, 1.714915),
    "cnn:head=attention": (1, 6019, 0.112627, 1.354233),
    "coordconv": (1, 6419, 0.110802, 0.908664),
    "vgg": (1, 18763, 0.097818, 0.991607),
    "vgg:pool=blur": (1, 18763, 0.097818, 0.534624),
    "resnet": (1, 19915, 0.109995, 3.031487),
    "resnet:pool=aps,padding=circular": (1, 19915, 0.109995, 4.093959),
    "resnet:preactivation=true,stem=imagenet,norm=layer": (1, 19923, 0.102254, 0.883438),
    "convnext": (1, 15411, 0.166749, 1.352291),
    "convnext:pool=aps,padding=circular": (1, 15411, 0.166749, 1.461178),
    "mlp:activation=gelu": (1, 49795, 0.082863, 0.614734),
    "stn": (1, 16009, 0.094039, 1.619815),
    "stn:backbone=mlp,transform=translation": (1, 59397, 0.083067, 0.640580),
    "orbit": (1, 6275, 0.109930, 1.416094),
    "orbit:step=4": (1, 6275, 0.109930, 1.466126),
    "ti_pool": (1, 6275, 0.109930, 1.769639),
    "vit": (1, 69379, 0.101216, 0.567109),
    "vit:position=sincos,head=token": (1, 68419, 0.102240, 0.470434),
    "vit:position=relative,patch=8": (1, 71499, 0.101053, 1.915781),
    "polyvit": (1, 68995, 0.103991, 0.304894),
    "polyvit:position=circular,anchor=image": (1, 68483, 0.102423, 0.736425),
    "mixer": (1, 39331, 0.101780, 0.888751),
}


def test_every_family_has_golden_values():
    assert set(MODELS) <= {name.partition(":")[0] for name in GOLDEN}


@pytest.mark.parametrize("name", GOLDEN)
def test_initial_weights_and_outputs(name):
    spec = ModelSpec.parse(name)
    model = build(spec, (16, 16, 1), 3, seed=0)
    model.eval()
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(nnx.state(model))]
    image = jnp.asarray(np.random.RandomState(0).random_sample((1, 16, 16, 1)), jnp.float32)
    size = sum(leaf.size for leaf in leaves)
    weights = sum(float(np.abs(leaf).sum()) for leaf in leaves) / size
    logits = float(jnp.abs(nnx.jit(lambda m, x: m(x))(model, image)).mean())
    family, _ = parse_model(spec)
    version, count, *numbers = GOLDEN[name]
    assert (family.version, size) == (version, count)
    assert [weights, logits] == pytest.approx(numbers, rel=1e-4)
