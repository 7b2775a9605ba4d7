"""Comparison of results: matching by contract, paired differences, verdicts and gates."""
