"""Frozen dense features judged by neighbours: patches of training images vote."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from mim.evaluate.dense import DenseFeatures, Patches, TokenPrecision
from mim.ranges import Count, Positive, Seed


class DenseKNN(DenseFeatures):
    """Nearest patches by cosine similarity vote for the class that most of their pixels have (CAPI,
    arXiv 2502.08769).

    Args:
        k: neighbours that vote.
        temperature: of the votes.
        bank_patches: patches that are voted among, drawn from all of them.
        seed: of that draw.
        block, norm, precision, bank_limit, held_out_limit: those of `DenseFeatures`.
    """

    name = "dense_knn"

    def __init__(
        self,
        k: Count = 30,
        temperature: Positive = 0.07,
        bank_patches: Count = 100_000,
        seed: Seed = 0,
        block: int | None = None,
        norm: bool = True,
        precision: TokenPrecision = "float16",
        bank_limit: Count | None = None,
        held_out_limit: Count | None = None,
    ):
        super().__init__(block, norm, precision, bank_limit, held_out_limit)
        self.k, self.temperature, self.bank_patches, self.seed = k, temperature, bank_patches, seed

    def score(
        self, bank: Patches, asked: Patches, classes: int, device: torch.device
    ) -> Iterator[Tensor]:
        """Votes of the nearest patches."""
        images, L, D = bank.token.shape
        draws = torch.Generator().manual_seed(self.seed)
        chosen = torch.randperm(images * L, generator=draws)[: self.bank_patches].sort().values
        shares = torch.cat(
            [bank.shares(part, classes) for part in torch.arange(images).split(64)]
        ).flatten(0, 1)[chosen]
        known = shares.sum(dim=1) > 0
        votes = one_hot(shares[known].argmax(dim=1), classes).float().to(device)
        reference = normalize(bank.token.reshape(-1, D)[chosen[known]].to(device).float(), dim=1)
        at_once = max(1, 2**25 // (len(reference) * L))
        for part in asked.token.split(at_once):
            query = normalize(part.to(device).float().flatten(0, 1), dim=1)
            similarity, neighbour = (query @ reference.T).topk(min(self.k, len(reference)), dim=1)
            weight = (similarity / self.temperature).exp()[..., None]
            score = (weight * votes[neighbour]).sum(dim=1)
            yield (score / score.sum(dim=1, keepdim=True)).unflatten(0, (len(part), L)).cpu()
