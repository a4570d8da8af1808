"""Weighted k-nearest-neighbour classification (Wu et al., arXiv 1805.01978), as DINO uses it
(eval_knn.py).
"""

import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from mim.evaluate.features import Features
from mim.ranges import Counts, Positives, in_range


class KNN:
    """Each of the k nearest images by cosine similarity votes for its class with weight
    exp(similarity / temperature).

    Neighbours are looked for once, whatever the number of settings.

    Args:
        k: neighbours that vote, one number or several; a bank of fewer images votes whole.
        temperature: of the votes, one or several.
    """

    @in_range
    def __init__(self, k: Counts = 20, temperature: Positives = 0.07):
        self.k = [k] if isinstance(k, int) else list(k)
        self.temperature = (
            [temperature] if isinstance(temperature, int | float) else list(temperature)
        )

    def __call__(self, bank: Features, query: Tensor, classes: int) -> dict[str, Tensor]:
        """Class scores of queries (M, D) -> (M, classes) of each setting.

        Memory is bounded: a chunk of queries at a time. It runs where the features are.
        """
        reference = normalize(bank.feature, dim=1)
        votes = one_hot(bank.label, classes).to(reference.dtype)
        chunk = max(1, 2**26 // len(reference))
        parts: dict[str, list[Tensor]] = {
            f"k={k} T={t}": [] for k in self.k for t in self.temperature
        }
        for part in normalize(query, dim=1).split(chunk):
            # nearest first
            similarity, neighbour = (part @ reference.T).topk(
                min(max(self.k), len(reference)), dim=1
            )
            vote = votes[neighbour]  # (M, k, classes)
            for k in self.k:
                for t in self.temperature:
                    weight = (similarity[:, :k] / t).exp()  # (M, k)
                    parts[f"k={k} T={t}"].append((weight[..., None] * vote[:, :k]).sum(dim=1))
        return {setting: torch.cat(scores) for setting, scores in parts.items()}
