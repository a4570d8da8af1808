"""Weighted k-nearest-neighbour classification (Wu et al., arXiv 1805.01978), as DINO uses it (eval_knn.py)."""

import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from mim.task.features import Features


class KNN:
    """Each of the k nearest images by cosine similarity votes for its class with weight exp(similarity / temperature).

    Args:
        k: neighbours that vote; a bank of fewer images votes whole.
        temperature: of the votes.
    """

    def __init__(self, k: int = 20, temperature: float = 0.07):
        if k < 1 or temperature <= 0:
            raise ValueError(
                f"KNN got k={k}, temperature={temperature}; needs k of at least 1 and a positive temperature"
            )
        self.k, self.temperature = k, temperature

    def __call__(self, bank: Features, query: Tensor, classes: int) -> Tensor:
        """Class scores of queries (M, D) -> (M, classes). Memory is bounded: a chunk of queries at a time."""
        k = min(self.k, len(bank.feature))
        reference = normalize(bank.feature, dim=1)
        votes = one_hot(bank.label, classes).to(reference.dtype)
        chunk = max(1, 2**26 // len(reference))
        scores = []
        for part in normalize(query, dim=1).split(chunk):
            similarity, neighbour = (part @ reference.T).topk(k, dim=1)
            weight = (similarity / self.temperature).exp()  # (M, k)
            scores.append((weight[..., None] * votes[neighbour]).sum(dim=1))
        return torch.cat(scores)
