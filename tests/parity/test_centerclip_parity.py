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
from seehear.nn.medoids import (
    LIMIT,
    assign,
    euclidean,
    k_medoids,
    kkz,
    laplacian,
    medoids_from_distances,
    spectral_medoids,
)

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
    assert int(file["cfg/iter_limit"]) == LIMIT
    medoids = k_medoids(points, mask, clusters=clusters)
    assert torch.equal(medoids, torch.as_tensor(file[f"out/medoid_ids{suffix}"]))
    if not suffix:
        distance = torch.cdist(points, points)
        start = kkz(distance, points.norm(dim=-1), mask, clusters=clusters)
        assert torch.equal(start, torch.as_tensor(file["out/kkz_init"]))
        assert torch.equal(assign(distance, medoids), torch.as_tensor(file["out/assignment"]))
        unit = k_medoids(F.normalize(points, dim=-1), mask, clusters=clusters)
        assert torch.equal(unit, torch.as_tensor(file["out/prenorm_medoid_ids"]))


def test_medoids_under_the_cosine_distance(golden: Load) -> None:
    file = golden("centerclip")
    points, clusters = segments_of(file, int(file["cfg/frames_after"])), int(file["cfg/clusters"])
    unit, mask = F.normalize(points, dim=-1), torch.ones(points.shape[:2], dtype=torch.bool)
    size = points.norm(dim=-1)
    medoids = medoids_from_distances(1 - unit @ unit.mT, size, mask, clusters=clusters)
    assert torch.equal(medoids, torch.as_tensor(file["out/cosine_medoid_ids"]))


def test_every_step_of_spectral_clustering(golden: Load) -> None:
    file = golden("centerclip")
    points = segments_of(file, int(file["cfg/frames_after"]))
    mask = torch.ones(points.shape[:2], dtype=torch.bool)
    sigma, clusters = float(file["cfg/spectral_sigma"]), int(file["cfg/clusters"])
    graph = laplacian(points, mask, sigma=sigma)
    affinity = torch.as_tensor(file["out/spectral_affinity_seg0"])
    scale = affinity.sum(1).rsqrt()
    eye = torch.eye(len(affinity))
    close(graph[0], eye - scale[:, None] * affinity * scale, atol=1e-5)
    values, vectors = torch.linalg.eigh(graph)
    close(values.flip(1), file["out/spectral_singular_values"], atol=1e-5)
    medoids = spectral_medoids(points, mask, clusters=clusters, sigma=sigma)
    assert torch.equal(medoids, torch.as_tensor(file["out/spectral_medoid_ids"]))
    distance = euclidean(F.normalize(vectors[..., :clusters], dim=-1))
    assert torch.equal(assign(distance, medoids), torch.as_tensor(file["out/spectral_assignment"]))


def test_means_of_clusters(golden: Load) -> None:
    """The variant that averages all members of a cluster, in the order of its medoids."""
    file = golden("centerclip")
    points, after = segments_of(file, int(file["cfg/frames_after"])), int(file["cfg/frames_after"])
    medoids = torch.as_tensor(file["out/medoid_ids"])
    member = F.one_hot(assign(euclidean(points), medoids)).float()  # [row point cluster]
    means = (member.mT @ points) / member.sum(1)[..., None]
    by_video = means.unflatten(0, (after, -1)).transpose(0, 1).flatten(0, 1)
    expected = torch.as_tensor(file["out/merged_tokens_aggregation_mean"]).transpose(0, 1)
    close(by_video, expected[:, 1:], atol=1e-6)


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
