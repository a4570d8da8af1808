"""Time judges on cached features beside scikit-learn: k nearest neighbours, and a linear
classifier.

    python benchmarks/judge.py --images 10000 --held-out 2000 --width 192

Features are drawn around one point for each class, so that there is something to tell apart; all
judges see the same ones, and their accuracies are printed. They take turns in one process, in an
order drawn anew each round; ratios are taken within a round.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from mim.evaluate.features import Features, Judge
from mim.evaluate.knn import KNN
from mim.evaluate.linear import Linear

K, TEMPERATURE, CLASSES = 20, 0.07, 10
Given = tuple[Features, Features]
Asked = Callable[[Given], NDArray[np.int64]]


def weight(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Votes of neighbours at cosine distances."""
    return np.exp((1 - distance) / TEMPERATURE)


def of_ours(judge: Judge) -> Asked:
    """Classes that a judge of this project gives."""

    def ask(given: Given) -> NDArray[np.int64]:
        bank, asked = given
        (scores,) = judge(bank, asked.feature, CLASSES).values()
        return scores.argmax(1).numpy()

    return ask


def neighbours(given: Given) -> NDArray[np.int64]:
    """The same neighbours and votes by scikit-learn."""
    bank, asked = given
    judge = KNeighborsClassifier(K, metric="cosine", weights=weight, algorithm="brute")
    return judge.fit(bank.feature.numpy(), bank.label.numpy()).predict(asked.feature.numpy())


def regression(given: Given) -> NDArray[np.int64]:
    """A linear classifier by scikit-learn, to the end of its solver."""
    bank, asked = given
    return solved(bank).predict(asked.feature.numpy())


def solved(bank: Features) -> Pipeline:
    """Scikit-learn's classifier, fitted; `evaluate=logistic` is the same solver."""
    judge = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    return judge.fit(bank.feature.numpy(), bank.label.numpy())


def work(bank: Features) -> str:
    """What each linear judge does, counted: steps, and passes over the features."""
    ours = Linear()
    steps = len(bank.feature) // min(ours.batch_size, len(bank.feature))
    iterations = int(solved(bank)[-1].n_iter_.max())
    return (
        f"Linear judges: AdamW takes {ours.epochs * steps:,} steps in {ours.epochs} passes over "
        f"the features, L-BFGS {iterations} iterations of one pass, or two where a line search "
        "asks again. The first has no penalty and stops early, the second has one and stops at its "
        "optimum: they are two judges, not two solvers of one."
    )


CASES: dict[str, dict[str, Asked]] = {
    "k-NN": {"mim": of_ours(KNN(K, TEMPERATURE)), "scikit-learn": neighbours},
    "linear": {"mim, 50 epochs of AdamW": of_ours(Linear()), "scikit-learn, L-BFGS": regression},
}


def features(images: int, width: int, points: torch.Tensor) -> Features:
    """Noise around the points of classes."""
    label = torch.arange(images) % CLASSES
    return Features(points[label] + 2.5 * torch.randn(images, width), label)


def main(argv: list[str] | None = None) -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--held-out", type=int, default=2_000)
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    random.seed(args.seed)
    torch.manual_seed(args.seed)
    points = torch.randn(CLASSES, args.width) * 0.5
    given = features(args.images, args.width, points), features(args.held_out, args.width, points)
    label = given[1].label.numpy()
    print(
        f"{args.images:,} features to learn from, {args.held_out:,} asked about, width "
        f"{args.width}\n"
    )
    print("| judge | by | seconds | top-1, % | time over ours |\n|---|---|--:|--:|--:|")
    for judge, ways in CASES.items():
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        right: dict[str, float] = {}
        for _ in range(args.rounds):
            for name in random.sample(list(ways), len(ways)):
                start = time.perf_counter()
                found = ways[name](given)
                seconds[name].append(time.perf_counter() - start)
                right[name] = 100 * float((found == label).mean())
        base = next(iter(seconds.values()))
        for name, spent in seconds.items():
            ratio = statistics.median(taken / own for taken, own in zip(spent, base, strict=True))
            print(
                f"| {judge} | {name} | {statistics.median(spent):.3f} | {right[name]:.1f} | "
                f"{ratio:.2f} |",
                flush=True,
            )
    print(f"\n{work(given[0])}")


if __name__ == "__main__":
    main()
