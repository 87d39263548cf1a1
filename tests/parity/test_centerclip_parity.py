"""CenterCLIP's clustering against golden vectors of its public code: ids exact."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from parity.compare import close
from seehear.models.centerclip import merge_frames
from seehear.nn.medoids import assign, k_medoids, kkz, spectral_medoids

Load = Callable[[str], dict[str, Any]]


def tokens_of(file: dict[str, Any]) -> Tensor:
    """[video frame token dim]."""
    tokens = torch.as_tensor(file["in/tokens"]).transpose(0, 1)
    return tokens.unflatten(0, (-1, int(file["cfg/frames_before"])))


def segments_of(file: dict[str, Any], frames_after: int) -> Tensor:
    """All patches of each segment; rows segment by segment, video by video."""
    patches = tokens_of(file)[:, :, 1:]
    grouped = patches.unflatten(1, (frames_after, -1)).flatten(2, 3)
    return grouped.transpose(0, 1).flatten(0, 1)


@pytest.mark.parametrize(("suffix", "after"), [("", 6), ("_4frames", 4)])
def test_medoids_are_exact(golden: Load, suffix: str, after: int) -> None:
    file = golden("centerclip")
    points, clusters = segments_of(file, after), int(file["cfg/clusters"])
    mask = torch.ones(points.shape[:2], dtype=torch.bool)
    medoids = k_medoids(points, mask, clusters=clusters)
    assert torch.equal(medoids, torch.as_tensor(file[f"out/medoid_ids{suffix}"]))
    if not suffix:
        distance = torch.cdist(points, points)
        start = kkz(distance, points.norm(dim=-1), mask, clusters=clusters)
        assert torch.equal(start, torch.as_tensor(file["out/kkz_init"]))
        assert torch.equal(assign(distance, medoids), torch.as_tensor(file["out/assignment"]))
        unit = k_medoids(F.normalize(points, dim=-1), mask, clusters=clusters)
        assert torch.equal(unit, torch.as_tensor(file["out/prenorm_medoid_ids"]))


def test_spectral_medoids_are_exact(golden: Load) -> None:
    file = golden("centerclip")
    points = segments_of(file, int(file["cfg/frames_after"]))
    mask = torch.ones(points.shape[:2], dtype=torch.bool)
    sigma, clusters = float(file["cfg/spectral_sigma"]), int(file["cfg/clusters"])
    medoids = spectral_medoids(points, mask, clusters=clusters, sigma=sigma)
    assert torch.equal(medoids, torch.as_tensor(file["out/spectral_medoid_ids"]))


@pytest.mark.parametrize(("suffix", "after"), [("", 6), ("_4frames", 4)])
def test_merged_tokens(golden: Load, suffix: str, after: int) -> None:
    file = golden("centerclip")
    tokens, before = tokens_of(file), int(file["cfg/frames_before"])
    mask = torch.ones(tokens.shape[:2], dtype=torch.bool)
    merged, there = merge_frames(
        tokens, mask, every=before // after, clusters=int(file["cfg/clusters"])
    )
    assert merged.shape[:2] == there.shape == (len(tokens), after)
    expected = torch.as_tensor(file[f"out/merged_tokens{suffix}"]).transpose(0, 1)
    assert torch.equal(merged[:, :, 1:].flatten(0, 1), expected[:, 1:])
    close(merged.flatten(0, 1), expected, atol=1e-6)
