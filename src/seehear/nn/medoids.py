"""K-medoids: choose the tokens that represent a segment, deterministically."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

LIMIT = 100  # rounds; real tokens need only a few


@torch.no_grad()
def k_medoids(
    points: Float[Tensor, "row point dim"],
    mask: Bool[Tensor, "row point"],
    *,
    clusters: int,
    size: Float[Tensor, "row point"] | None = None,
) -> Int[Tensor, "row cluster"]:
    """Indices of the medoids in ascending order; every row needs at least `clusters` points.

    Starts from the longest point (by `size`) and adds the point farthest from its nearest medoid
    until there are `clusters`. Then assigns points to their nearest medoid and moves each medoid
    to the member with the least sum of Euclidean distances, until nothing changes.

    Source: CenterCLIP (Zhao et al., SIGIR 2022), k-medoids++ with KKZ start.
    Differs: a cluster without members keeps its medoid.
    """
    size = torch.linalg.vector_norm(points, dim=-1) if size is None else size
    return medoids_from_distances(euclidean(points), size, mask, clusters=clusters)


def euclidean(points: Float[Tensor, "row point dim"]) -> Float[Tensor, "row point point"]:
    """Distances of all pairs, without the rounding errors of a matrix product."""
    return torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")


def medoids_from_distances(
    distance: Float[Tensor, "row point point"],
    size: Float[Tensor, "row point"],
    mask: Bool[Tensor, "row point"],
    *,
    clusters: int,
) -> Int[Tensor, "row cluster"]:
    """Indices of the medoids in ascending order, under any distance; KKZ starts at the largest."""
    medoids = kkz(distance, size, mask, clusters=clusters)
    for _ in range(LIMIT):
        moved = move_medoids(distance, assign(distance, medoids), mask, medoids)
        if torch.equal(moved, medoids):
            break
        medoids = moved
    return medoids.sort(dim=1).values


def kkz(
    distance: Float[Tensor, "row point point"],
    size: Float[Tensor, "row point"],
    mask: Bool[Tensor, "row point"],
    *,
    clusters: int,
) -> Int[Tensor, "row cluster"]:
    """Initial medoids by KKZ, in the order in which they are chosen."""
    rows = torch.arange(len(distance), device=distance.device)
    chosen = [size.masked_fill(~mask, -1).argmax(1)]
    nearest = distance[rows, chosen[0]]
    for _ in range(clusters - 1):
        chosen.append(nearest.masked_fill(~mask, -1).argmax(1))
        nearest = torch.minimum(nearest, distance[rows, chosen[-1]])
    return torch.stack(chosen, dim=1)


def assign(
    distance: Float[Tensor, "row point point"], medoids: Int[Tensor, "row cluster"]
) -> Int[Tensor, "row point"]:
    """Index of the nearest medoid of each point."""
    return distance.gather(2, medoids[:, None].expand(-1, distance.shape[1], -1)).argmin(2)


def move_medoids(
    distance: Float[Tensor, "row point point"],
    cluster: Int[Tensor, "row point"],
    mask: Bool[Tensor, "row point"],
    medoids: Int[Tensor, "row cluster"],
) -> Int[Tensor, "row cluster"]:
    """For each cluster, the member with the least sum of distances to the members."""
    together = (cluster[:, :, None] == cluster[:, None]) & mask[:, None]
    cost = (distance * together).sum(-1)
    member = F.one_hot(cluster, medoids.shape[1]).bool() & mask[..., None]
    best = cost[..., None].masked_fill(~member, torch.inf).argmin(1)
    return torch.where(member.any(1), best, medoids)


@torch.no_grad()
def spectral_medoids(
    points: Float[Tensor, "row point dim"],
    mask: Bool[Tensor, "row point"],
    *,
    clusters: int,
    sigma: float = 2.0,
) -> Int[Tensor, "row cluster"]:
    """K-medoids on the spectrum of the neighbourhood graph of the points.

    W = exp(-d^2 / (2 sigma^2));  L = I - D^(-1/2) W D^(-1/2);  the points are the rows, at unit
    length, of the eigenvectors of the `clusters` smallest eigenvalues.

    Source: CenterCLIP, spectral clustering.
    Differs: KKZ starts at the longest row before normalisation, as unit rows have equal lengths.
    Note: if points are much farther apart than sigma, rounding decides.
    """
    rows = torch.linalg.eigh(laplacian(points, mask, sigma=sigma)).eigenvectors[..., :clusters]
    size = torch.linalg.vector_norm(rows, dim=-1)
    return k_medoids(F.normalize(rows, dim=-1), mask, clusters=clusters, size=size)


def laplacian(
    points: Float[Tensor, "row point dim"], mask: Bool[Tensor, "row point"], *, sigma: float
) -> Float[Tensor, "row point point"]:
    """Normalised Laplacian of the neighbourhood graph; padding gets the eigenvalue 2.

    L = I - D^(-1/2) W D^(-1/2),  W = exp(-d^2 / (2 sigma^2)).
    """
    affinity = torch.exp(-(euclidean(points) ** 2) / (2 * sigma**2))
    affinity = affinity * (mask[:, :, None] & mask[:, None])
    scale = affinity.sum(-1).clamp(min=torch.finfo(points.dtype).tiny) ** -0.5
    scale = scale.masked_fill(~mask, 0)
    alone = torch.diag_embed(2.0 - mask.to(points.dtype))
    return alone - scale[:, :, None] * affinity * scale[:, None]
