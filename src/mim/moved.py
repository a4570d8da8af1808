"""Names of earlier versions, which old checkpoints, records and commands may still say: of classes and settings."""

import re
from typing import Any

MODULES = {
    "mim.callback.checkpoint": "mim.run.checkpoint",
    "mim.callback.finite": "mim.run.finite",
    "mim.callback.interruption": "mim.run.interruption",
    "mim.callback.lost_rank": "mim.run.lost_rank",
    "mim.callback.prune": "mim.run.prune",
    "mim.callback.results": "mim.run.results",
    "mim.checkpoint.load": "mim.weights.load",
    "mim.judge.knn": "mim.evaluate.knn",
    "mim.judge.linear": "mim.evaluate.linear",
    "mim.judge.logistic": "mim.evaluate.logistic",
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
    "mim.evaluate.attention_statistics.AttentionStats": "mim.evaluate.attention_statistics.AttentionStatistics",
}
"""Class as it was, in its module of now -> as it is."""


def moved(name: str) -> str:
    """Dotted name of a class or a function as it is now; the same where nothing has moved."""
    module, _, last = name.rpartition(".")
    name = f"{MODULES[module]}.{last}" if module in MODULES else name
    return CLASSES.get(name, name)


def current(node: Any) -> Any:
    """Copy of a plain config in which each `_target_` has its name of now."""
    if isinstance(node, dict):
        return {
            key: moved(value) if key == "_target_" and isinstance(value, str) else current(value)
            for key, value in node.items()
        }
    return [current(each) for each in node] if isinstance(node, list) else node


def moved_setting(override: str) -> str:
    """Setting of `eval.py` as it is now: `task=knn` -> `evaluate=knn`, `task.judge.k=5` -> `evaluate.judge.k=5`."""
    now = re.sub(r"^(\+*|\w+@)task(?=[.=]|$)", r"\1evaluate", override)
    return {"evaluate=attention_stats": "evaluate=attention_statistics"}.get(now, now)
