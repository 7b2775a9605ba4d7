"""(a) Throughput of a sweep against the pure jitted forward pass of the same network, same batch."""

import jax
import numpy as np

from benchmarks.timing import compare, show
from cnnshift.catalog import PROTOCOLS
from cnnshift.data.base import create_dataset
from cnnshift.data.split import to_unit_range
from cnnshift.models.base import build
from cnnshift.shifts.sets import enumerate_shifts
from cnnshift.spec import DatasetSpec, ModelSpec
from cnnshift.sweep.compile import compile_block, compile_reference, first_block
from cnnshift.sweep.pure_model import as_pure_model
from cnnshift.sweep.sweep_inputs import SweepInputs

BATCH = 128
MODELS = ("cnn", "cnn:padding=circular,head=gap", "cnn:padding=circular,head=gap,pool=aps", "mlp")


def main() -> None:
    print(f"\n(a) sweep against the pure forward pass, batch {BATCH}, 64 shifts, backend {jax.default_backend()}")
    split = create_dataset(DatasetSpec.parse("mnist5k")).load("test").take(BATCH)
    for name in MODELS:
        pure_model = as_pure_model(build(ModelSpec.parse(name), (32, 32, 1), 10, seed=0))
        for protocol_name in ("circular", "zero"):
            protocol = PROTOCOLS.load(protocol_name)
            shifts = enumerate_shifts("random:64", max_shift=8, step=1, size=split.size, wraps=protocol.wraps, images=1)
            shared = type(shifts)("grid", shifts.shifts[0], None, exhaustive=False)
            inputs = SweepInputs(pure_model, split, protocol(split.size, reach=8), shared)
            reference, _ = compile_reference(inputs, BATCH)
            block = compile_block(inputs, reference, BATCH, 1)
            arguments = first_block(inputs, reference, BATCH, 1)
            forward = jax.jit(lambda state, images, apply=pure_model.apply: apply(state, images)[0])
            images = np.asarray(to_unit_range(split.windows))

            def pure(forward=forward, images=images, pure_model=pure_model, count=shared.count):
                for _ in range(count):
                    logits = forward(pure_model.state, images)
                logits.block_until_ready()

            def swept(block=block, arguments=arguments):
                jax.block_until_ready(block(*arguments))

            comparison = compare({"pure forward": pure, f"sweep, {protocol_name}": swept})
            show(f"{name}", comparison, BATCH * shared.count, "images/s")


if __name__ == "__main__":
    main()
