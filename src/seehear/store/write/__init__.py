"""Writing to a library: videos, uncommitted fragments of workers, maintenance, indices."""
