"""Names of earlier versions, which old checkpoints, records and commands may still say: of classes
and settings.
"""

import re

MODULES = {
    "mim.augment.whole": "mim.augment.no_augment",
    "mim.callback.checkpoint": "mim.run.checkpoint",
    "mim.callback.finite": "mim.run.non_finite_loss",
    "mim.callback.interruption": "mim.run.interruption",
    "mim.callback.lost_rank": "mim.run.rank_watchdog",
    "mim.callback.prune": "mim.run.prune",
    "mim.callback.results": "mim.run.results",
    "mim.checkpoint.load": "mim.weights.load",
    "mim.judge.knn": "mim.evaluate.knn",
    "mim.judge.linear": "mim.evaluate.linear",
    "mim.judge.logistic": "mim.evaluate.logistic",
    "mim.pool.centre_attention": "mim.pool.by_attention",
    "mim.pool.cls": "mim.pool.simple",
    "mim.pool.cls_mean": "mim.pool.simple",
    "mim.pool.lowest_entropy": "mim.pool.by_attention",
    "mim.pool.max": "mim.pool.simple",
    "mim.pool.mean": "mim.pool.simple",
    "mim.pool.mean_attention": "mim.pool.by_attention",
    "mim.task.attention_stats": "mim.evaluate.attention_statistics",
    "mim.task.classifier": "mim.evaluate.classifier",
    "mim.task.classify": "mim.evaluate.classify",
    "mim.task.embedding": "mim.evaluate.embedding",
    "mim.task.finetune": "mim.train.finetune",
    "mim.task.low_shot": "mim.evaluate.low_shot",
    "mim.task.pretrain": "mim.train.pretrain",
    "mim.task.probe": "mim.evaluate.probe",
    "mim.task.probe_mae": "mim.evaluate.probe_mae",
}
"""Module as it was -> as it is."""
CLASSES = {
    "mim.augment.no_augment.Whole": "mim.augment.no_augment.NoAugment",
    "mim.run.non_finite_loss.Finite": "mim.run.non_finite_loss.StopOnNonFiniteLoss",
    "mim.run.rank_watchdog.LostRank": "mim.run.rank_watchdog.RankWatchdog",
    "mim.evaluate.dense.DenseKNN": "mim.evaluate.dense_knn.DenseKNN",
    "mim.evaluate.dense.DenseLinear": "mim.evaluate.dense_linear.DenseLinear",
    "mim.optim.weight_decay.CosineWeightDecay": "mim.optim.number.Cosine",
    "mim.evaluate.attention_statistics.AttentionStats": (
        "mim.evaluate.attention_statistics.AttentionStatistics"
    ),
}
"""Class as it was, in its module of now -> as it is."""


def moved(name: str) -> str:
    """Dotted name of a class or a function as it is now; the same where nothing has moved."""
    module, _, last = name.rpartition(".")
    name = f"{MODULES[module]}.{last}" if module in MODULES else name
    return CLASSES.get(name, name)


def current(config: dict[str, object]) -> dict[str, object]:
    """Copy of a plain config in which each `_target_` has its name of now."""
    return {
        key: moved(value) if key == "_target_" and isinstance(value, str) else _current(value)
        for key, value in config.items()
    }


def _current(node: object) -> object:
    if isinstance(node, dict):
        return current(node)
    return [_current(each) for each in node] if isinstance(node, list) else node


CHOICES = {
    **{
        f"experiment=mae/scratch_vit_{size}": f"experiment=supervised/mae_vit_{size}"
        for size in ("base", "large", "huge")
    },
    "evaluate=attention_stats": "evaluate=attention_statistics",
    "augment=whole": "augment=no_augment",
}
"""Choice of a group as it was -> as it is."""


def moved_choice(override: str) -> str:
    """Choice of a group as it is now: `augment@data.augment=whole` ->
    `augment@data.augment=no_augment`.
    """
    group, at, rest = override.partition("=")[0].partition("@")
    now = CHOICES.get(f"{group}={override.partition('=')[2]}")
    return f"{group}{at}{rest}={now.partition('=')[2]}" if now else override


def moved_setting(override: str) -> str:
    """Setting of `eval.py` as it is now: `task=knn` -> `evaluate=knn`, `task.judge.k=5` ->
    `evaluate.judge.k=5`.
    """
    return moved_choice(re.sub(r"^(\+*|\w+@)task(?=[.=]|$)", r"\1evaluate", override))
