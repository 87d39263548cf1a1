"""The frames of a library in memory, int8, and what a text sees in each of them exactly."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32

from seehear.engine.scoring import Block, Branch, branch, pack, quantise, score
from seehear.types import Tokens


class SightScan:
    """cos(t, E_seen) of every item added: no item is lost to a summary that knows no query.

    Holds about 7 kB an item of 12 frames and 512 dimensions. `plus` gives a new scan, so that one
    thread may search while another adds.
    """

    def __init__(self, block: Block, branches: tuple[Branch, ...] = ()) -> None:
        self._block = block
        self._branches = branches

    def plus(self, tokens: Tokens) -> SightScan:
        """With these items behind those it has; items without frames score 0."""
        frames = quantise(pack(tokens.frames, tokens.frame_mask))
        return SightScan(self._block, (*self._branches, branch(self._block, frames)))

    def scores(self, text: Float32[np.ndarray, "1 dim"]) -> Float32[np.ndarray, " item"]:
        """In the order in which items were added."""
        found = [score(text, each)[0] for each in self._branches]
        return np.concatenate([np.zeros(0, np.float32), *found])
