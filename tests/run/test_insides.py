"""Contracts of what is reached for inside of libraries: each fails where a new version is other,
and nothing else reaches in.
"""

import ast
import signal
import tomllib
from importlib.metadata import version
from pathlib import Path
from subprocess import Popen
from types import SimpleNamespace

import optuna
import pytest
import pytorch_lightning as L
import torch
from packaging.requirements import Requirement
from pytorch_lightning.strategies.launchers.subprocess_script import _SubprocessScriptLauncher
from pytorch_lightning.trainer.connectors.signal_connector import _SignalConnector
from torch import nn

from mim.run.insides import (
    is_within_step,
    leave_signals_alone,
    metrics_known_here,
    said_of_step,
    set_steps_logged,
    table_of_processes,
    take_over_children,
    take_over_limit_of_steps,
    trial_by_number,
    without_forward_hooks,
)
from mim.run.position import begin_at

ROOT = Path(__file__).parents[2]
ELSEWHERE = {  # what no room above can do for a lower one, each with its contract below
    "mim/all_processes.py": {"_functional_collectives"},
    "mim/checkpoint/inert_pickle.py": {"_Unpickler"},
    "mim/checkpoint/shard_metadata.py": {"_StorageInfo"},
    "mim/data/loader.py": {  # tests/data/test_loader.py has it
        *("_BaseDataLoaderIter", "_MultiProcessingDataLoaderIter"),
        *("_remove_worker_pids", "_utils", "_writer"),
    },
    "mim/head/boxes.py": {"_utils"},
    "mim/head/projection.py": {"_weight_norm"},
    "mim/head/proposals.py": {"_utils"},
    "mim/launch/arguments.py": {"_SubParsersAction", "_option_string_actions"},
    "mim/launch/entry.py": {"_internal"},
    "mim/optim/to_start.py": {"_foreach_lerp_"},
    "mim/strategy/compiled.py": {"_dynamo"},  # tests/strategy/test_compiled.py has it
    "mim/teacher/average.py": {"_foreach_lerp_"},
}
# of named tuples, os and configs
OURS = {"_replace", "_asdict", "_fields", "_make", "_exit", "_target_"}


class Line(L.LightningModule):
    """As little as can be trained; keeps what is asked while it is."""

    def __init__(self):
        super().__init__()
        self.layer, self.asked = nn.Linear(1, 1), []

    def training_step(self, batch, number):
        loss = self.layer(batch).square().mean()
        self.log("loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Asks(L.Callback):
    """What the functions say in the course of a training."""

    def __init__(self):
        self.within, self.said = [], []

    def on_train_batch_end(self, trainer, *_):
        self.within.append(is_within_step(trainer))
        self.said.append(said_of_step(trainer))

    def on_train_epoch_end(self, trainer, *_):
        self.within.append(is_within_step(trainer))


@pytest.fixture
def trainer_of(tmp_path):
    def build(*callbacks, **settings):
        quiet = {
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "enable_checkpointing": False,
        }
        where = {"accelerator": "cpu", "devices": 1, "default_root_dir": tmp_path, "logger": False}
        return L.Trainer(
            callbacks=list(callbacks), **(quiet | where | {"max_epochs": 1} | settings)
        )

    return build


def images(count=4):
    return torch.utils.data.DataLoader(torch.ones(count, 1), batch_size=1)


def test_lightning_asks_its_connector_for_handlers_and_heeds_an_instance_that_has_none(trainer_of):
    assert callable(_SignalConnector.register_signal_handlers)
    trainer = trainer_of()
    leave_signals_alone(trainer)
    before = signal.getsignal(signal.SIGTERM)
    trainer.fit(Line(), images())
    assert trainer._signal_connector._original_handlers == {}
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(("given", "most"), [(2, 2), (-1, float("inf"))])
def test_a_limit_of_steps_that_is_taken_over_ends_nothing(trainer_of, given, most):
    trainer = trainer_of(max_steps=given)
    assert take_over_limit_of_steps(trainer) == most
    trainer.fit(Line(), images())
    assert trainer.global_step == 4


def test_a_step_that_is_being_logged_and_what_it_says(trainer_of):
    asks = Asks()
    trainer_of(asks, log_every_n_steps=2).fit(Line(), images())
    assert asks.within == [True, True, True, True, False]
    assert [set(said) for said in asks.said] == [set(), {"loss"}, set(), {"loss"}]


def test_metrics_that_are_known_here_are_those_of_one_process_or_those_that_were_summed_up(
    trainer_of,
):
    trainer = trainer_of()
    trainer.fit(Line(), images())
    assert metrics_known_here(trainer) == trainer.callback_metrics != {}
    several = SimpleNamespace(world_size=2, _logger_connector=trainer._logger_connector)
    assert metrics_known_here(several) == trainer._logger_connector._callback_metrics


def test_children_are_out_of_reach_of_the_observer_that_holds_their_list():
    assert _SubprocessScriptLauncher.__init__.__code__.co_names.count("procs") == 1
    child = object.__new__(Popen)
    child.returncode = 0
    observed = [child]
    launcher = SimpleNamespace(procs=observed)
    trainer = SimpleNamespace(strategy=SimpleNamespace(launcher=launcher))
    assert take_over_children(trainer) == [child]
    assert observed == []
    assert launcher.procs == [child]
    assert take_over_children(SimpleNamespace(strategy=SimpleNamespace(launcher=None))) == []


def test_the_table_of_processes_is_there_for_all(tmp_path):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1
    )
    try:
        table_of_processes().set("sign", "life")
        assert table_of_processes().get("sign") == b"life"
    finally:
        torch.distributed.destroy_process_group()


def test_loggers_count_from_the_steps_that_are_set(trainer_of):
    trainer = trainer_of(max_epochs=3)
    trainer.fit_loop.epoch_loop._batches_that_stepped += 0  # it is there, and a number
    set_steps_logged(trainer, 40)
    assert trainer.fit_loop.epoch_loop._batches_that_stepped == 40


def test_a_training_that_begins_later_takes_the_steps_that_are_left(trainer_of):
    class Begins(L.Callback):
        def on_fit_start(self, trainer, module):
            assert begin_at(trainer, trainer.datamodule, 2) == 8

    class Four(L.LightningDataModule):
        batches_per_epoch = steps_per_epoch = 4

        def train_dataloader(self):
            return images()

    trainer = trainer_of(Begins(), max_epochs=3)
    trainer.fit(Line(), datamodule=Four())
    assert (trainer.current_epoch, trainer.global_step) == (3, 12)


def test_hooks_are_not_called_inside_and_are_there_afterwards():
    layer, called = nn.Linear(1, 1), []
    layer.register_forward_pre_hook(lambda *_: called.append("before"))
    layer.register_forward_hook(lambda *_: called.append("after"))
    with without_forward_hooks([layer]):
        layer(torch.ones(1))
    assert called == []
    layer(torch.ones(1))
    assert called == ["before", "after"]


def test_a_trial_that_another_process_began_is_reported_to():
    study = optuna.create_study()
    study.ask()
    second = study.ask()
    trial_by_number(study, 1).report(0.5, 3)
    assert study.get_trials()[second.number].intermediate_values == {3: 0.5}


def test_many_tensors_are_moved_at_once():
    own, theirs = [torch.zeros(2), torch.zeros(3)], [torch.ones(2), torch.ones(3)]
    torch._foreach_lerp_(own, theirs, 0.25)
    assert all(tensor.eq(0.25).all() for tensor in own)


def test_gradients_pass_a_mean_over_processes(tmp_path):
    from torch.distributed import _functional_collectives as collectives

    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1
    )
    try:
        x = torch.tensor([1.0, 2.0], requires_grad=True)
        collectives.all_reduce(x * 3, "avg", torch.distributed.group.WORLD).sum().backward()
    finally:
        torch.distributed.destroy_process_group()
    assert x.grad.tolist() == [3, 3]


def test_hydra_says_which_options_it_has():
    from hydra._internal.utils import get_args_parser

    known, others = get_args_parser().parse_known_args(
        ["--multirun", "--cfg", "job", "a=1", "--data", "x"]
    )
    assert (known.multirun, known.cfg, known.overrides[0]) == (True, "job", "a=1")
    assert others[0] == "--data"


def test_a_sharded_checkpoint_says_where_a_tensor_lies_by_file_offset_and_length():
    from torch.distributed.checkpoint.filesystem import _StorageInfo

    assert list(_StorageInfo.__dataclass_fields__)[:3] == ["relative_path", "offset", "length"]


def reached(source: str) -> set[str]:
    """Private names that a source takes of something other than itself."""
    tree, found = ast.parse(source), set()
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    own = {
        target.attr
        for node in ast.walk(tree)
        for target in getattr(node, "targets", [getattr(node, "target", None)])
        if isinstance(target, ast.Attribute)
        and isinstance(target.value, ast.Name)
        and target.value.id == "self"
    } | {each.name for node in classes for each in node.body if isinstance(each, ast.FunctionDef)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and not (
            isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
        ):
            found.add(node.attr)
        elif isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("mim"):
            found |= {*(node.module or "").split("."), *(alias.name for alias in node.names)}
    return {
        name for name in found - own - OURS if name.startswith("_") and not name.startswith("__")
    }


def test_nothing_else_reaches_in():
    files = [file for file in (ROOT / "src").rglob("*.py") if file.name != "insides.py"]
    found = {
        str(file.relative_to(ROOT / "src")): names
        for file in files
        if (names := reached(file.read_text()))
    }
    assert found == ELSEWHERE
    assert reached("a.b._c()") == {"_c"}
    assert reached("from torch._x import y, _z") == {"_x", "_z"}
    assert reached("class A:\n    def _own(self): ...\na._own; self._x; t._replace(a=1)") == set()


def test_versions_that_are_known_are_bounded():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [
        Requirement(each)
        for each in project["dependencies"] + project["optional-dependencies"]["sweep"]
    ]
    bounded = {
        each.name: each.specifier
        for each in needed
        if any(s.operator == "<" for s in each.specifier)
    }
    assert {
        "torch",
        "torchvision",
        "pytorch-lightning",
        "hydra-core",
        "omegaconf",
        "timm",
        "optuna",
    } <= bounded.keys()
    assert all(version(name) in allowed for name, allowed in bounded.items())
