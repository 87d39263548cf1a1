"""K-medoids against loops and under padding, and spectral medoids of two rings."""

from __future__ import annotations

import math

import torch

from seehear.nn.medoids import k_medoids, spectral_medoids


def in_loops(points: list[list[float]], clusters: int) -> list[int]:
    """KKZ, then assignment and update until nothing changes, point by point."""
    everyone = range(len(points))

    def away(a: int, b: int) -> float:
        return math.dist(points[a], points[b])

    medoids = [max(everyone, key=lambda p: math.hypot(*points[p]))]
    while len(medoids) < clusters:
        medoids.append(max(everyone, key=lambda p: min(away(p, m) for m in medoids)))
    while True:
        groups: list[list[int]] = [[] for _ in medoids]
        for p in everyone:
            groups[min(range(clusters), key=lambda c: away(p, medoids[c]))].append(p)
        moved = [min(group, key=lambda p: sum(away(p, q) for q in group)) for group in groups]
        if moved == medoids:
            return sorted(medoids)
        medoids = moved


def test_medoids_equal_loops_with_and_without_padding() -> None:
    generator = torch.Generator().manual_seed(4)
    points = torch.randn(6, 20, 3, generator=generator, dtype=torch.float64)
    mask = torch.arange(20) < torch.tensor([20, 20, 17, 12, 9, 5])[:, None]
    points = points.masked_fill(~mask[..., None], 50.0)  # padding is the farthest of all
    medoids = k_medoids(points, mask, clusters=5)
    for row in range(6):
        assert medoids[row].tolist() == in_loops(points[row][mask[row]].tolist(), 5)
    assert medoids[5].tolist() == [0, 1, 2, 3, 4]


def test_spectral_medoids_find_one_point_of_each_ring() -> None:
    """A small ring inside a large one; padding changes nothing."""
    generator = torch.Generator().manual_seed(6)
    jitter = torch.randn(48, generator=generator, dtype=torch.float64)
    angle = (torch.arange(48) % 24) * (2 * math.pi / 24) + 0.05 * jitter
    radius = torch.cat([torch.full((24,), 0.4), torch.full((24,), 3.0)]) + 0.05 * jitter.flip(0)
    points = (radius[:, None] * torch.stack([angle.cos(), angle.sin()], dim=1))[None]
    mask = torch.ones(1, 48, dtype=torch.bool)
    inner = (spectral_medoids(points, mask, clusters=2, sigma=0.4) < 24).tolist()
    assert sorted(inner[0]) == [False, True]
    padded = torch.nn.functional.pad(points, (0, 0, 0, 5), value=9.0)
    alone = spectral_medoids(points, mask, clusters=2, sigma=0.4)
    wide = spectral_medoids(padded, torch.nn.functional.pad(mask, (0, 5)), clusters=2, sigma=0.4)
    assert torch.equal(alone, wide)


def test_equal_points_give_every_cluster_a_medoid() -> None:
    points = torch.zeros(1, 4, 2, dtype=torch.float64)
    points[0, 3] = 1.0
    assert k_medoids(points, torch.ones(1, 4, dtype=torch.bool), clusters=3).shape == (1, 3)
