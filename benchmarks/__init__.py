"""Speed comparisons: ratios measured in one run, never a timed test."""
