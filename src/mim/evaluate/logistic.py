"""Logistic regression on standardised features, by scikit-learn."""

import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from mim.evaluate.features import Features
from mim.ranges import Count, Positives, in_range


class Logistic:
    """Multinomial logistic regression with an L2 penalty, solved by L-BFGS: nothing in it is
    random.

    Args:
        C: inverse strengths of the penalty, one or several.
        max_iter: steps of the solver.
    """

    @in_range
    def __init__(self, C: Positives = 1.0, max_iter: Count = 1000):
        self.strengths = [C] if isinstance(C, int | float) else list(C)
        self.max_iter = max_iter

    def __call__(self, bank: Features, query: Tensor, classes: int) -> dict[str, Tensor]:
        """Class scores of queries (M, D) -> (M, classes) of each strength; of a class without
        images, minus infinity.
        """
        x, label, asked = bank.feature.cpu().numpy(), bank.label.cpu().numpy(), query.cpu().numpy()
        found = {}
        for strength in self.strengths:
            model = make_pipeline(
                StandardScaler(), LogisticRegression(C=strength, max_iter=self.max_iter)
            )
            model.fit(x, label)
            scores = torch.full((len(asked), classes), -torch.inf)
            scores[:, torch.from_numpy(model.classes_)] = torch.from_numpy(
                model.predict_log_proba(asked)
            ).float()
            found[f"C={strength:g}"] = scores.to(query.device)
        return found
