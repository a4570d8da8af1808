"""docs/extend.md: what it shows is written to a folder as it says, and every command of it
composes, builds and runs.
"""

import importlib
import re
import shlex
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from mim.augment.augmentation import Augmentation
from mim.augment.no_augment import NoAugment
from mim.batch import Batch
from mim.command.evaluate import evaluate
from mim.data.digits import Digits
from mim.encoder.vit import ViT
from mim.evaluate.evaluated_checkpoint import EvaluatedCheckpoint
from mim.evaluate.evaluation import Evaluation
from mim.masker.split import Split
from mim.part import Progress
from mim.weights.settings import NESTED, class_of
from tests.teacher.taught import TAUGHT, taught, two_views

PAGE = (Path(__file__).parents[1] / "docs" / "extend.md").read_text()
BLOCKS = re.findall(r"```\w+\n# (\S+)\n(.*?)```", PAGE, flags=re.DOTALL)
COMMANDS = re.findall(
    r"^    python -m mim (train|evaluate) --config-dir my_configs (.*)$", PAGE, flags=re.MULTILINE
)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The folder of the page's reader, with all that the page shows."""
    folder = tmp_path_factory.mktemp("theirs")
    for name, text in BLOCKS:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with (folder / name).open("a") as file:
            file.write(text)
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))
    sys.modules.pop("my_parts", None)


@pytest.fixture
def made(written, composed_command):
    """What the page's command about a part composes."""

    def make(part):
        ((program, overrides),) = (command for command in COMMANDS if f"={part}" in command[1])
        name = {"train": "train.py", "evaluate": "eval.py"}[program]
        given = " ".join(
            shlex.quote(each) for each in shlex.split(overrides.replace("<run>", "run"))
        )
        return composed_command(
            f"python {name} {given} hydra.searchpath=[file://{written}/my_configs]"
        )

    return make


def test_the_page_shows_eleven_parts():
    assert len(COMMANDS) == 11
    assert {name for name, _ in BLOCKS if not name.endswith("my_parts.py")} == {
        f"my_configs/{group}/{name}.yaml"
        for group, name in (
            ("masker", "centre"),
            ("masker", "doubtful"),
            ("target", "mean_colour"),
            ("target", "directions"),
            ("teacher", "rarely"),
            ("data", "stripes"),
            ("augment", "square"),
            ("schedule", "power"),
            ("encoder", "small"),
            ("pool", "power_mean"),
            ("evaluate", "effective_rank"),
        )
    }


def loss_of(cfg, batch):
    """A step of the training that a config asks for."""
    task = instantiate(cfg.task)
    loss, *_ = task.objective(batch)
    loss.backward()
    assert loss.isfinite()
    assert all(
        parameter.grad is not None for parameter in task.parameters() if parameter.requires_grad
    )
    return task


@pytest.mark.parametrize(
    "part", ["centre", "doubtful", "mean_colour", "directions", "rarely", "small"]
)
def test_what_the_page_adds_to_a_model_learns(made, part):
    torch.manual_seed(0)
    task = loss_of(made(part), Batch.of(torch.randn(2, 3, 32, 32)))
    assert any(type(module).__module__ == "my_parts" for module in task.modules())


@pytest.mark.parametrize("name", TAUGHT)
def test_the_masker_of_the_page_goes_with_every_teacher(written, composed_command, name):
    given = taught(name).replace(" masker=random", "")
    cfg = composed_command(
        f"python {given} masker=centre hydra.searchpath=[file://{written}/my_configs]"
    )
    task, splits = instantiate(cfg.task), []
    task.model.masker.register_forward_hook(lambda masker, given, split: splits.append(split))
    for part in task.parts:
        part.begin_step(Progress(0, 4, 2))
    loss, *_ = task.objective(two_views())
    loss.backward()
    assert loss.isfinite()
    assert type(task.model.masker.score).__module__ == "my_parts"
    visible = torch.cat([split.visible.flatten() for split in splits]).tolist()  # of 4 x 4 patches
    assert sum(visible.count(patch) for patch in (0, 3, 12, 15)) > 0
    assert sum(visible.count(patch) for patch in (5, 6, 9, 10)) < len(visible) / 4


@pytest.mark.parametrize("name", ["iBOT", "DINO", "data2vec"])
def test_the_masker_that_goes_by_attention_is_told_the_teacher_s(written, composed_command, name):
    """Or what a store has of each image."""
    given = taught(name).replace(" masker=random", "")
    cfg = composed_command(
        f"python {given} masker=doubtful hydra.searchpath=[file://{written}/my_configs]"
    )
    torch.manual_seed(0)
    task, seen = instantiate(cfg.task).train(), []
    score = task.model.masker.score
    assert score.store.live == (name != "data2vec")
    score.store.maps = torch.rand(4, 4, 4).half()
    score.register_forward_hook(lambda module, given, rank: seen.append((given[0], rank.rank)))
    task.objective(two_views())[0].backward()
    (batch, rank), *_ = seen
    weight = score.store(batch, (4, 4))
    assert (batch.attention is not None) == score.store.live
    assert weight.std(1).min() > 0
    nearest = rank.argmax(1, keepdim=True)
    assert torch.equal(weight.gather(1, nearest), weight.median(1, keepdim=True).values)


def test_the_target_of_the_page_is_a_direction_of_the_teacher(made):
    target = instantiate(made("directions").loss).target
    left = torch.randn(2, 1 + 4, 8)
    split = Split(torch.tensor([[[0]], [[1]]]), torch.tensor([[[1, 3]], [[2, 0]]]))
    asked = []

    def teacher(image, blocks):
        asked.extend(blocks)
        return [left]

    teacher.depth, teacher.prefix = 3, 1
    found = target(None, split, teacher)
    assert asked == [2]
    assert torch.allclose(found[1, 0, 1], left[1, 1] / left[1, 1].norm())
    assert found.norm(dim=-1).sub(1).abs().max() < 1e-5


def test_the_teacher_of_the_page_is_copied_now_and_then(made):
    task = instantiate(made("rarely").task)
    assert task.teacher.every == 10
    before = task.teacher.network.norm.weight.clone()
    with torch.no_grad():
        task.model.encoder.norm.weight += 1
    for step in range(9):
        task.teacher.after_step(task.model, Progress(step, 20, 5))
        assert torch.equal(task.teacher.network.norm.weight, before)
    task.teacher.after_step(task.model, Progress(9, 20, 5))
    assert torch.equal(task.teacher.network.norm.weight, before + 1)


def test_the_masker_of_the_page_hides_the_centre(written):
    Centre = importlib.import_module("my_parts").Centre
    rank = Centre(0.0)(Batch.of(torch.zeros(2, 3, 8, 8)), (5, 3)).rank
    assert rank.argmax(1).tolist() == [7, 7]
    assert set(rank.argsort(1)[:, :4].flatten().tolist()) == {0, 2, 12, 14}


def test_the_test_of_the_page_passes(written):
    importlib.import_module("test_my_parts").test_the_middle_is_hidden()
    sys.modules.pop("test_my_parts")


def test_the_pool_of_the_page_lies_between_the_mean_and_the_maximum(made):
    pools = instantiate(made("[mean,power_mean]").evaluate).pools
    tokens = torch.rand(3, 5, 2)
    pooled = pools["power_mean"](tokens)
    assert (pools["mean"](tokens) < pooled).all()
    assert (pooled < tokens.amax(1)).all()


def test_the_target_of_the_page_is_the_mean_of_a_patch(made):
    term = instantiate(made("mean_colour").loss)
    encoder = ViT(image_size=8, patch_size=4, width=8, depth=1, heads=2)
    term.fit(encoder.geometry)
    image = torch.arange(3.0)[None, :, None, None].expand(1, 3, 8, 8)
    found = term.target(image, Split(torch.tensor([[[0]]]), torch.tensor([[[1, 3]]])))
    assert found.tolist() == [[[[0, 1, 2], [0, 1, 2]]]]


def test_the_data_set_of_the_page_yields_batches_and_its_normalisation_is_its_own(made):
    data = instantiate(made("stripes").data)
    data.setup()
    batch = data.on_after_batch_transfer(next(iter(data.val_dataloader())))
    assert batch.image.shape[1:] == (3, 32, 32)
    assert abs(batch.image.mean()) < 0.05
    assert abs(batch.image.std() - 1) < 0.1
    assert set(batch.label.tolist()) == {0, 1}


def test_the_view_of_the_page_is_a_square_within_the_image(made):
    augment = instantiate(made("square").data.augment)
    assert isinstance(augment, Augmentation)
    key, size = torch.arange(200), torch.tensor([[20, 40], [33, 9]]).repeat(100, 1)
    cut = augment(key, size)
    left, top, right, bottom = cut.box.unbind(1)
    assert (right - left).tolist() == (bottom - top).tolist() == [10, 4] * 100
    assert left.min() == top.min() == 0
    assert (size[:, 1] - right).amin() == (size[:, 0] - bottom).amin() == 0
    assert 60 < cut.flip.sum() < 140


def test_the_schedule_of_the_page_rises_and_falls_as_a_power(made):
    cfg = made("power")
    cfg.warmup_epochs = 2
    schedule = instantiate(cfg.schedule)
    shares = [schedule(Progress(10 * epoch, 100, 10), 1.0) for epoch in (0, 1, 2, 6, 8)]
    assert shares == pytest.approx([0, 0.5, 1, 0.25, 0.0625])


def test_the_encoder_of_the_page_gives_padding_no_say(written):
    torch.manual_seed(0)
    encoder = importlib.import_module("my_parts").Small(8, 4, 16, 2, 2).eval()
    tokens = encoder.embed(torch.randn(1, 3, 8, 8))
    valid = torch.tensor([[True, True, True, False]])
    torch.testing.assert_close(
        encoder.encode(tokens, valid=valid)[:, :3], encoder.encode(tokens[:, :3])
    )
    assert encoder.encode_blocks(tokens, [0])[0] is tokens


def test_the_evaluation_of_the_page_returns_a_row(made):
    torch.manual_seed(0)
    evaluation = instantiate(made("effective_rank").evaluate)
    assert isinstance(evaluation, Evaluation)
    evaluation.held_out_limit = 64
    data = Digits(NoAugment(), 16, 64)
    data.setup()
    encoder = ViT(image_size=16, patch_size=8, width=16, depth=1, heads=2)
    row = evaluation(
        [EvaluatedCheckpoint("a", encoder, data, data.on_after_batch_transfer, nullcontext, Path())]
    )
    assert [line["pool"] for line in row["table"]] == ["cls", "mean"]
    assert all(1 < line["rank"] <= 16 for line in row["table"])
    assert row["effective_rank/rank"] == max(line["rank"] for line in row["table"])


def test_what_does_not_say_whether_it_learns_is_no_evaluation(tmp_path):
    cfg = {"paths": {"run": str(tmp_path / "run")}, "evaluate": {"_target_": "builtins.dict"}}
    with pytest.raises(ValueError, match=r"^dict does not say whether it learns .* learns = False"):
        evaluate(OmegaConf.create(cfg))


def test_who_judges_a_run_of_views_of_their_own_is_told_to_give_its_data_again():
    with pytest.raises(ValueError, match=r"give its data again, data=<name>$"):
        class_of("my_parts.Square", NESTED["augment"], "a run")
