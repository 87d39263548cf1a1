"""CenterCLIP: neighbouring frames merge into their telling patches (Zhao et al., SIGIR 2022)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from seehear.encoders.clip_frames import ClipEncoder, FrameBatch, run_layer
from seehear.models.base import PRECOMPUTED, Encoder
from seehear.models.clip4clip import CLIP4Clip, CLIP4ClipConfig
from seehear.models.registry import register
from seehear.nn.medoids import k_medoids
from seehear.nn.pooling import masked_mean
from seehear.nn.temporal import Unchanged

Choose = Callable[..., Int[Tensor, "row cluster"]]  # k_medoids or spectral_medoids
AT_BLOCK_7: Mapping[int, int] = {6: 2}  # block, counted from 0 -> frames that merge there


class MergingEncoder(ClipEncoder):
    """CLIP in which, before some blocks, every few frames become one of their own tokens.

    `merge` says before which block how many frames; `clusters` patches of each group stay.

    Source: CenterCLIP, section 3.2: 12 frames of 49 patches to 6 at block 7 (or to 4).
    """

    def __init__(
        self,
        clip: Any,
        *,
        clusters: int = 49,
        merge: Mapping[int, int] = AT_BLOCK_7,
        choose: Choose = k_medoids,
    ) -> None:
        super().__init__(clip)
        self.clusters, self.merge, self.choose = clusters, dict(merge), choose
        config = clip.config.vision_config
        patches = (config.image_size // config.patch_size) ** 2
        if clusters > patches:
            raise ValueError(f"{clusters} clusters of {patches} patches; choose at most {patches}")

    def run(
        self, x: Float[Tensor, "item frame token width"], media: FrameBatch
    ) -> tuple[Float[Tensor, "item segment kept width"], Bool[Tensor, "item segment"]]:
        """The blocks, with fewer and fewer frames."""
        mask = media.frame_mask
        for place, layer in enumerate(self.layers):
            if place in self.merge:
                x, mask = merge_frames(
                    x, mask, every=self.merge[place], clusters=self.clusters, choose=self.choose
                )
            x = run_layer(layer, x)
        return x, mask


def merge_frames(
    x: Float[Tensor, "item frame token width"],
    mask: Bool[Tensor, "item frame"],
    *,
    every: int,
    clusters: int,
    choose: Choose = k_medoids,
) -> tuple[Float[Tensor, "item segment kept width"], Bool[Tensor, "item segment"]]:
    """[mean of the class tokens; medoids of all patches] of every `every` frames.

    Differs: padding frames are neither averaged nor chosen; a last group may be shorter.
    """
    missing = -x.shape[1] % every
    x, mask = F.pad(x, (0, 0, 0, 0, 0, missing)), F.pad(mask, (0, missing))
    groups, there = x.unflatten(1, (-1, every)).flatten(0, 1), mask.unflatten(1, (-1, every))
    shape, there = there.shape[:2], there.flatten(0, 1)
    patches = groups[:, :, 1:].flatten(1, 2)
    present = there.repeat_interleave(x.shape[2] - 1, dim=1)
    kept = choose(patches, present, clusters=clusters)
    chosen = patches.gather(1, kept[..., None].expand(-1, -1, patches.shape[2]))
    merged = F.pad(chosen, (0, 0, 1, 0))
    merged[:, 0] = masked_mean(groups[:, :, 0], there)
    return merged.unflatten(0, shape), there.any(1).unflatten(0, shape)


@register("centerclip", CLIP4ClipConfig)
class CenterCLIP(CLIP4Clip):
    """The mean of the merged frames; the merging happens in `MergingEncoder`.

    Source: CenterCLIP; the head is CLIP4Clip's mean.
    """

    def __init__(self, config: CLIP4ClipConfig, *, encoder: Encoder = PRECOMPUTED) -> None:
        super().__init__(temporal=Unchanged(), encoder=encoder)
