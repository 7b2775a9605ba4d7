"""`python -m benchmarks.reproductions [NAME]...`: reproduce published tables."""

import sys
from importlib import import_module

NAMES = {
    "redgreen": "Kayhan & van Gemert 2020",
    "adaptive_sampling": "Chaman & Dokmanić 2021",
    "blur_order": "Zhang 2019",
    "distortions": "Simard, Steinkraus & Platt 2003",
    "architecture_or_augmentation": "Kauderer-Abrams 2017",
    "places": "Biscione & Bowers 2021",
    "translate": "Mu & Gilmer 2019",
    "flips": "Hendrycks & Dietterich 2019",
    "cluttered_digits": "Jaderberg et al. 2015",
}

if __name__ == "__main__":
    names, sys.argv = sys.argv[1:] or list(NAMES), sys.argv[:1]
    if unknown := [name for name in names if name not in NAMES]:
        sys.exit(f"Unknown reproduction {', '.join(unknown)}; allowed: {', '.join(NAMES)}.")
    for name in names:
        print(f"\n{name} ({NAMES[name]})", flush=True)
        import_module(f"benchmarks.reproductions.{name}").main()
