import json

import pytest
from omegaconf import OmegaConf

from mim.figure.runs import common_accuracy, find_runs, read_run
from mim.figure.series import sorted_into_series


def by_seed(runs, names=None):
    return [(one.name, len(one.runs)) for one in sorted_into_series(runs, lambda run: None, names)]


def test_a_sweep_is_its_jobs_in_their_order_and_a_run_is_found_once(run_folder, tmp_path):
    folders = [run_folder(f"sweeps/s/{job}") for job in (0, 2, 10)]
    found = [run.folder for run in find_runs([tmp_path / "sweeps" / "s", folders[2]])]
    assert found == folders
    assert [run.folder for run in find_runs([tmp_path / "sweeps"])] == folders


@pytest.mark.parametrize(
    ("path", "message"), [("none", "there is no folder .*none"), ("", "holds no runs")]
)
def test_where_no_run_is_it_says_so(tmp_path, path, message):
    with pytest.raises(FileNotFoundError, match=message):
        find_runs([tmp_path / path])


def test_a_missing_number_is_refused_with_those_that_there_are(run_folder):
    run = read_run(run_folder("a", metrics={"knn/top1": 0.5, "train/loss": 1.0}))
    assert run.metric("knn/top1") == 0.5
    with pytest.raises(ValueError, match=r"a has no val/top1; it has knn/top1, train/loss$"):
        run.metric("val/top1")


@pytest.mark.parametrize(
    ("partition", "ratio"),
    [({"ratio": 0.6}, 0.6), ({"mask_ratio": 0.45, "throw_ratio": 0.4}, 0.45), ({"parts": 4}, 0.75)],
)
@pytest.mark.parametrize("scheduled", [False, True])
def test_every_partition_says_its_ratio(run_folder, partition, ratio, scheduled):
    masker = {"partition": partition, "_target_": "mim.masker.masker.Masker"}
    first = {"partition": {"ratio": 0.1}}
    node = (
        {"first": first, "then": masker, "_target_": "mim.masker.scheduled.Scheduled"}
        if scheduled
        else masker
    )
    folder = run_folder("a")
    config = OmegaConf.load(folder / "config.yaml")
    config.task.model.masker = node
    OmegaConf.save(config, folder / "config.yaml")
    assert read_run(folder).mask_ratio()[1] == pytest.approx(ratio)


def test_what_judged_a_run_has_that_runs_ratio_and_name(run_folder, judged_folder):
    trained = run_folder("trained", "salience", 0.6)
    last = trained / "checkpoints" / "last.ckpt"
    for i, checkpoint in enumerate((trained, last)):
        judged = read_run(judged_folder(f"judged{i}", checkpoint, **{"probe/top1": 0.7}))
        assert (judged.name, judged.mask_ratio()[1], judged.metrics) == (
            "mae_vit_pico_salience_digits",
            0.6,
            {"probe/top1": 0.7},
        )


def test_fine_tuning_has_the_ratio_of_what_it_began_with_and_settings_of_both(run_folder):
    trained = run_folder("trained", "salience", 0.6)
    tuned = run_folder("tuned")
    config = OmegaConf.load(tuned / "config.yaml")
    config.task, config.checkpoint = {"layer_decay": 0.75}, str(trained)
    OmegaConf.save(config, tuned / "config.yaml")
    run = read_run(tuned)
    assert run.mask_ratio()[1] == 0.6
    assert run.settings["judged.task.layer_decay"] == 0.75


def test_a_run_without_a_masker_has_no_ratio(judged_folder):
    with pytest.raises(ValueError, match="does not say how much was masked"):
        read_run(
            judged_folder("judged", "timm:vit_base_patch16_224.mae", **{"knn/top1": 0.5})
        ).mask_ratio()


def test_seeds_are_one_series_and_other_settings_are_not(run_folder):
    runs = find_runs(
        [
            run_folder("a", seed=0),
            run_folder("b", seed=1),
            run_folder("c", base_lr=1e-3),
            run_folder("d", "salience"),
            run_folder("e", ratio=0.5),
        ]
    )
    assert by_seed(runs) == [
        ("random ratio=0.75", 2),
        ("random ratio=0.75 base_lr=0.001", 1),
        ("salience", 1),
        ("random ratio=0.5", 1),
    ]
    assert by_seed(runs[:2]) == [("MAE ViT pico random digits", 2)]
    assert by_seed(runs[3:], ["S", "R"]) == [("S", 1), ("R", 1)]


def test_names_have_to_be_one_a_series(run_folder):
    runs = find_runs([run_folder("a"), run_folder("b", "salience")])
    with pytest.raises(
        ValueError, match=r"--names names 1 series, and there are 2: random; salience"
    ):
        by_seed(runs, ["A"])


def test_the_accuracy_is_knns_where_all_have_it_and_one_that_all_have_otherwise(run_folder):
    both, linear, loss = (
        read_run(run_folder(name, metrics=metrics))
        for name, metrics in {
            "both": {"knn/top1": 0.5, "linear/top1": 0.6},
            "linear": {"linear/top1": 0.6},
            "loss": {"train/loss": 1.0},
        }.items()
    )
    assert common_accuracy([both]) == "knn/top1"
    assert common_accuracy([both, linear]) == "linear/top1"
    with pytest.raises(
        ValueError, match=r"choose a number with --metric, of knn/top1, linear/top1, train/loss"
    ):
        common_accuracy([both, loss])


def test_damaged_results_are_named(run_folder):
    folder = run_folder("a")
    (folder / "results.json").write_text(json.dumps({})[:-1])
    with pytest.raises(ValueError, match=r"results\.json is no JSON"):
        read_run(folder)
