"""STL-10 on small stand-in files: pre-training on unlabelled images, then what AMT's tables ask for
on the labelled ones.
"""

import numpy as np
import pytest
from torchvision import datasets

SMALL = ("encoder=vit_pico", "encoder.patch_size=24")


@pytest.fixture
def root(tmp_path, monkeypatch):
    """stl10_binary/ with 40 unlabelled images, 20 to train on and 10 to test: a brightness a class,
    in noise.
    """
    monkeypatch.setattr(datasets.STL10, "_check_integrity", lambda self: True)
    folder = tmp_path / "stl10_binary"
    folder.mkdir()
    draw = np.random.default_rng(0)
    for name, count in (("unlabeled", 40), ("train", 20), ("test", 10)):
        label = np.arange(count) % 10
        noise = draw.integers(0, 16, (count, 3, 96, 96))
        (24 * label[:, None, None, None] + noise).astype(np.uint8).tofile(folder / f"{name}_X.bin")
        (label + 1).astype(np.uint8).tofile(folder / f"{name}_y.bin")
    (folder / "class_names.txt").write_text("\n".join(f"class {i}" for i in range(10)))
    return tmp_path


def test_pretraining_fine_tuning_and_probes_each_read_their_split(train, command, root):
    here = (f"data.root={root}", "data=stl10", *SMALL)
    before = train(*here, "data.batch_size=20", "callback=[checkpoint,results,announce]")
    assert before.code == 0, before.err
    assert "40 images of 96 x 96" in before.out
    start = f"checkpoint={before.folder}"
    tuned = train(
        "task=finetune",
        *here,
        start,
        "data.batch_size=10",
        "callback=[checkpoint,results,announce]",
    )
    assert tuned.code == 0, tuned.err
    assert "20 labelled images of 96 x 96, 10 classes" in tuned.out
    assert 0 <= tuned.metrics["val/top1"] <= 1
    linear = (
        "evaluate=probe_mae",
        "pool=mean",
        start,
        f"data.root={root}",
        "data=stl10",
        "evaluate.epochs=1",
    )
    refused = command("eval", *linear, "evaluate.warmup_epochs=0")
    assert refused.code == 1
    assert "evaluate.batch_size=20" in refused.err
    probed = command("eval", *linear, "evaluate.warmup_epochs=0", "evaluate.batch_size=20")
    assert probed.code == 0, probed.err
    assert 0 <= probed.results["probe_mae/top1"] <= 1
    probed = command(
        "eval",
        "evaluate=knn",
        "pool=mean",
        "evaluate.judge.k=1",
        start,
        f"data.root={root}",
        "data=stl10",
    )
    assert probed.code == 0, probed.err
    assert probed.results["knn/top1"] > 0.5
