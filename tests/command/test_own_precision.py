"""A checkpoint is judged in the precision that it was trained in, where there is none to be
preferred.
"""

import pytest

from mim.command.evaluate import _own_precision
from mim.weights.weights import Weights


def weights(**trainer):
    return Weights({}, "run", config={"trainer": trainer})


@pytest.mark.parametrize(
    ("said", "precision"),
    [
        ("32-true", "32-true"),
        (32, "32-true"),
        ("32", "32-true"),
        (None, "32-true"),
        ("bf16-mixed", "bf16-mixed"),
    ],
)
def test_it_is_read_as_a_training_takes_it(said, precision):
    assert _own_precision(weights(precision=said)) == precision


@pytest.mark.parametrize(
    "weights", [Weights({}, "file"), Weights({}, "file", config={"trainer": "auto"}), weights()]
)
def test_without_a_word_it_is_single(weights):
    assert _own_precision(weights) == "32-true"


@pytest.mark.parametrize(
    "said", ["64-true", "bf16-true", "transformer-engine", 16, ["32-true"], {"a": 1}]
)
def test_another_one_is_refused_with_what_to_say(said):
    with pytest.raises(
        ValueError,
        match=r"^run: trainer\.precision=.* is none of 32-true, bf16-mixed, 16-mixed; .*=32-true$",
    ):
        _own_precision(weights(precision=said))
