"""Networks that come with their weights: what a spec names is opened, not trained."""
