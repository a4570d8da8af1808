"""Weighted k-nearest-neighbour classification, the protocol of Wu et al. (arXiv 1805.01978), as DINO uses it (eval_knn.py)."""

import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from mim.task.features import Features


def knn_scores(bank: Features, query: Tensor, classes: int, k: int = 20, temperature: float = 0.07) -> Tensor:
    """Class scores of queries (M, D) by their neighbours in the bank -> (M, classes).

    Each of the k nearest images by cosine similarity votes for its class with weight exp(similarity / temperature). A bank of
    fewer than k images votes whole. Memory is bounded: queries are compared a chunk at a time.
    """
    k = min(k, len(bank.feature))
    reference = normalize(bank.feature, dim=1)
    votes = one_hot(bank.label, classes).to(reference.dtype)
    chunk = max(1, 2**26 // len(reference))
    scores = []
    for part in normalize(query, dim=1).split(chunk):
        similarity, neighbour = (part @ reference.T).topk(k, dim=1)
        weight = (similarity / temperature).exp()  # (M, k)
        scores.append((weight[..., None] * votes[neighbour]).sum(dim=1))
    return torch.cat(scores)
