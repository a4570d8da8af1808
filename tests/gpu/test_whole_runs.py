"""What a user types, `train.py` and `eval.py`, on the device: it learns, stops and goes on, and is
judged as on the CPU.
"""

import pytest
import torch
import yaml

from mim.weights.build import build_encoder
from mim.weights.into_model import load_weights_into
from mim.weights.read import read_weights
from tests.gpu.precision import PRECISIONS
from tests.gpu.runs import JUDGES, METHODS, Run


@pytest.fixture
def run(processes):
    """What the command of a name left."""
    return lambda name, code=0: processes.left(name, code)


def apart(ours: Run, theirs: Run) -> float:
    """The largest relative difference of two runs' losses."""
    assert ours.losses.keys() == theirs.losses.keys()
    return max(
        abs(float(loss) / float(theirs.losses[step]) - 1) for step, loss in ours.losses.items()
    )


def test_it_learns_in_the_precision_of_the_device(run, record_property, device):
    learned = run("learns")
    settings = yaml.safe_load((learned.folder / "config.yaml").read_text())
    assert settings["trainer"]["precision"] == (
        "bf16-mixed" if device.type == "cuda" else "32-true"
    )
    if device.type == "cuda":
        assert "NVIDIA" in learned.results["hardware"]
    losses, metrics = [float(loss) for loss in learned.losses.values()], learned.results["metrics"]
    record_property("loss_first", losses[0])
    record_property("loss_last", losses[-1])
    record_property("knn_top1", metrics["knn/top1"])
    record_property("knn_top1_untrained", metrics["knn/top1_untrained"])
    assert losses[-1] < 0.7 * losses[0]
    assert metrics["knn/top1"] > (
        metrics["knn/top1_untrained"] + 0.1 if device.type == "cuda" else 0.3
    )


@pytest.mark.parametrize("kind", ["", "exact_"], ids=["default", "deterministic"])
def test_a_run_that_was_stopped_goes_on_bit_for_bit(run, record_property, kind):
    """Also without trainer.deterministic=true: no kernel here adds in an order that changes."""
    whole, stopped, resumed = (
        run(kind.strip("_") or "short"),
        run(f"{kind}stopped", 85),
        run(f"{kind}resumed"),
    )
    together = stopped.losses | resumed.losses
    assert min(resumed.losses) == len(stopped.losses) > 5
    assert together.keys() == whole.losses.keys()
    error = max(abs(float(together[step]) / float(loss) - 1) for step, loss in whole.losses.items())
    record_property("error", f"{error:.2e}")
    assert together == whole.losses
    ours, theirs = resumed.weights, whole.weights
    assert all(weight.equal(theirs[name]) for name, weight in ours.items())


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_one_process_of_a_strategy_trains_like_none(run, within, device, strategy):
    """NCCL on a GPU. FSDP gathers weights in bf16 there, which autocast would have rounded as
    well.
    """
    within("error", apart(run(strategy), run("short")), 1e-2 if device.type == "cuda" else 1e-5)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_trains(run, record_property, name):
    losses = [float(loss) for loss in run(name).losses.values()]
    record_property("loss_first", losses[0])
    record_property("loss_last", losses[-1])
    assert losses[-1] < losses[0]


def test_a_checkpoint_of_the_device_gives_the_same_features_on_the_cpu(
    run, distance, within, device, precision
):
    weights = read_weights(run("learns").folder)
    image = torch.randn(64, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    features = []
    for where in (torch.device("cpu"), device):
        encoder = build_encoder(weights, 32)
        load_weights_into(weights, encoder)
        encoder.to(where).eval()
        how = PRECISIONS["float32"] if where.type == "cpu" and len(features) == 0 else precision
        with how(where), torch.no_grad():
            features.append(encoder(image.to(where)).float().cpu())
    within("error", distance(features[1], features[0]), precision.output)


@pytest.mark.parametrize("name", JUDGES)
def test_a_judge_is_of_the_same_opinion_on_the_cpu(run, record_property, within, device, name):
    """Of 450 held-out images bf16 moves a few across the border between two classes."""
    ours, theirs = (
        run(f"{name}_{device.type}").results["table"][0]["top1"],
        run(f"{name}_cpu").results["table"][0]["top1"],
    )
    record_property("top1", ours)
    record_property("top1_cpu", theirs)
    assert ours > 0.3
    within("error", abs(ours - theirs), 0.03)
