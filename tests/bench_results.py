"""Small benchmark results made in code, for the tests of documents and formats."""

import numpy as np

from cnnshift.render.documents.bench import bench_document
from cnnshift.results.packing import pack
from cnnshift.results.schema import (
    DatasetRecord,
    MetricResult,
    ProtocolRecord,
    RadiusTable,
    Result,
    Run,
    ShiftTable,
    Timing,
    TrainingRecord,
)


def metric(id, value, *, unit="fraction", ci95=None, per_image=None, reason=""):
    return MetricResult(
        id=id,
        version=1,
        title=id.replace("_", " "),
        value=value,
        ci95=ci95,
        unit=unit,
        bounds=(0, 1),
        higher_is_better=True,
        n=0 if value is None else 4,
        reason=reason,
        per_image=None if per_image is None else pack(np.array(per_image)),
    )


def run(
    model="cnn",
    seed=0,
    *,
    consistency=0.5,
    protocol="circular",
    kappa=0.4,
    accuracy=(0.8, 0.4),
    options=None,
    augment="none",
):
    per_image = [1.0, 1.0, 1.0, 0.0] if seed == 0 else [1.0, 0.0, 1.0, 0.0]
    return Run(
        model=model,
        family=model.partition(":")[0],
        family_version=1,
        options=options or {},
        params=1234,
        flops=1e6,
        weights_digest="0" * 64,
        seed=seed,
        training=TrainingRecord(recipe={"augment": augment}, cached=False, final_loss=0.1),
        dataset=DatasetRecord(name="toy", version="1", split="test", n=4, size=(8, 8), fingerprint="f"),
        protocol=ProtocolRecord(
            name=protocol,
            wraps=protocol in ("circular", "fourier"),
            set="grid",
            max_shift=2,
            step=1,
            count=24,
            exhaustive=True,
            information_loss=0.125,
        ),
        contract=protocol,
        metrics=[
            metric("accuracy", float(np.mean(per_image)), ci95=(0.2, 0.99), per_image=per_image),
            metric("shifted_accuracy", 0.6, ci95=(0.5, 0.7)),
            metric("reference_consistency", consistency, ci95=(consistency / 2, 1.0)),
            metric("pairwise_consistency", consistency, ci95=(consistency / 2, 1.0)),
            metric("kappa", kappa, unit=""),
            metric("feature_cosine", None, reason="no features"),
        ],
        predictions=None,
        engine=None,
        by_shift=ShiftTable(reason="left out"),
        by_radius=RadiusTable(
            radius=[1, 2],
            pairs=[32, 64],
            images=[4, 4],
            accuracy=list(accuracy),
            consistency=[0.9, 0.5],
            consistency_ci95=[(0.8, 1.0), (0.4, 0.6)],
            worst_case_accuracy=[0.5, 0.25],
            survival=[0.5, 0.25],
        ),
        timing=Timing(compile_seconds=1, train_seconds=1, sweep_seconds=1, images_per_second=5000),
    )


def result(*runs, metrics=()):
    config = {"metrics": list(metrics)}
    return Result(
        status="complete", created="now", cnnshift_version="0", config=config, environment={}, runs=list(runs)
    )


FOUR = result(
    run(),
    run("cnn:augment=shift1", augment="shift1", accuracy=(0.9, 0.5)),
    run("cnn:pool=aps", options={"pool": "aps"}, consistency=1.0),
    run(protocol="zero"),
    metrics=[metric.id for metric in run().metrics],
)


DOCUMENT = bench_document(FOUR)
