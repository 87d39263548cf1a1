"""CenterCLIP: frames are merged by clustering their patches (Zhao et al., SIGIR 2022)."""

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
AT_BLOCK_7: Mapping[int, int] = {6: 2}  # block, counted from 0 -> frames per group


class MergingEncoder(ClipEncoder):
    """CLIP that merges groups of frames before some blocks, keeping the medoids of their patches.

    `merge` maps a block to the number of frames per group; each group keeps `clusters` patches.

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
            raise ValueError(f"{clusters} clusters of {patches} patches; the limit is {patches}")

    def run_blocks(
        self, x: Float[Tensor, "item frame token width"], media: FrameBatch
    ) -> tuple[Float[Tensor, "item segment kept width"], Bool[Tensor, "item segment"]]:
        """Run the blocks, merging frames before those in `merge`."""
        mask = media.frame_mask
        for index, layer in enumerate(self.layers):
            if index in self.merge:
                x, mask = merge_frames(
                    x, mask, every=self.merge[index], clusters=self.clusters, choose=self.choose
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
    """Merge each group of `every` frames: [mean of the class tokens; medoids of all patches].

    Differs: padding frames are ignored; the last group may be shorter.
    """
    missing = -x.shape[1] % every
    x, mask = F.pad(x, (0, 0, 0, 0, 0, missing)), F.pad(mask, (0, missing))
    groups, group_mask = x.unflatten(1, (-1, every)).flatten(0, 1), mask.unflatten(1, (-1, every))
    shape, group_mask = group_mask.shape[:2], group_mask.flatten(0, 1)
    patches = groups[:, :, 1:].flatten(1, 2)
    patch_mask = group_mask.repeat_interleave(x.shape[2] - 1, dim=1)
    medoids = choose(patches, patch_mask, clusters=clusters)
    chosen = patches.gather(1, medoids[..., None].expand(-1, -1, patches.shape[2]))
    merged = F.pad(chosen, (0, 0, 1, 0))
    merged[:, 0] = masked_mean(groups[:, :, 0], group_mask)
    return merged.unflatten(0, shape), group_mask.any(1).unflatten(0, shape)


@register("centerclip", CLIP4ClipConfig)
class CenterCLIP(CLIP4Clip):
    """Mean of the merged frames; `MergingEncoder` does the merging.

    Source: CenterCLIP; the head is that of `clip4clip.meanp`.
    """

    def __init__(self, config: CLIP4ClipConfig, *, encoder: Encoder = PRECOMPUTED) -> None:
        super().__init__(temporal=Unchanged(), encoder=encoder)
