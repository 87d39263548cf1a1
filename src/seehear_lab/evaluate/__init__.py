"""Score a gallery and report ranks, metrics and comparisons."""
