"""The study of claims: what is run, in which order, what is made of it, and that it goes on."""

import json
import runpy
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from scipy import stats

import mim
from tests.slow import slow

ROOT = Path(__file__).parents[2]
STUDY = ROOT / "benchmarks" / "study"
MODULES = {
    "jobs",
    "kept",
    "operations",
    "page",
    "picture",
    "plan",
    "results",
    "rows",
    "subset",
    "verdict",
}


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """A module of benchmarks/study."""
    monkeypatch.syspath_prepend(STUDY)
    before = set(sys.modules)
    yield lambda name: __import__(name)
    for name in MODULES - before:
        sys.modules.pop(name, None)


@pytest.fixture
def study(module, tmp_path) -> Any:
    """A toy study of which nothing has been run; EMAE costs four times as much as MAE."""
    plan = module("plan").read_plan("toy")
    flops = dict.fromkeys(module("plan").wanted_arms(plan), 1.0) | {"emae": 4.0, "amt": 0.5}
    return module("jobs").Study(plan, tmp_path / "toy", Path("pictures"), flops)


def finish(job: Any, **metrics: float) -> None:
    """Leave what a job leaves."""
    (job.folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    (job.folder / "results.json").write_text(json.dumps({"status": "finished", "metrics": metrics}))


def finish_probes(study: Any, arm: str, top1: dict[str, float]) -> None:
    """Leave what probes of an arm leave, by pool; a seed is a point better than the one before."""
    for job in study.probes(arm):
        job.folder.mkdir(parents=True)
        rows = [
            {"pool": pool, "setting": f"lr={lr}", "top1": best - less + 0.01 * job.seed, "ece": 0.2}
            for pool, best in top1.items()
            for lr, less in ((1, 0), (2, 0.1))
        ]
        (job.folder / "results.json").write_text(json.dumps({"table": rows}))


def finish_trainings(study: Any, arm: str) -> None:
    """Leave what trainings of an arm leave, at equal epochs."""
    for job in study.tuning(arm):
        finish(job, **{"knn/top1": 0.3})
    for job in study.compared(arm, "epochs"):
        finish(job, **{"knn/top1": 0.3})


def test_a_plan_may_have_a_size_that_the_one_it_is_like_has_not(module, tmp_path) -> None:
    plan = (STUDY / "plan.yaml").read_text()
    (tmp_path / "plan.yaml").write_text(plan.replace("  toy:", "  tiny:"))
    toy = "  toy:" + plan.partition("  toy:")[2].partition("\n\n")[0]
    (tmp_path / "more.yaml").write_text(f"like: plan.yaml\nsizes:\n{toy}\n")
    read_plan = module("plan").read_plan
    assert read_plan("toy", tmp_path / "more.yaml").size == read_plan("toy").size
    assert read_plan("tiny", tmp_path / "more.yaml").size == read_plan("toy").size


def test_a_plan_has_the_sizes_and_arms_of_the_one_that_it_is_like(module) -> None:
    read_plan = module("plan").read_plan
    comparison, plan = read_plan("small", STUDY / "comparison.yaml"), read_plan("small")
    own = {"seeds": [0, 1, 2], "tuning_seeds": [100]}
    assert (comparison.size, comparison.arms) == (plan.size._replace(**own), plan.arms)
    toy = read_plan("toy", STUDY / "comparison.yaml").size
    assert toy == read_plan("toy").size, "what a plan leaves out of a size is the other's"
    assert {"msn", "moco_v3"} <= set(module("plan").wanted_arms(comparison))
    assert not {"msn", "moco_v3"} & set(module("plan").wanted_arms(plan))


@pytest.mark.parametrize("file", ["plan.yaml", slow("budget.yaml")])
def test_every_arm_composes(module, file) -> None:
    plan = module("plan").read_plan("toy", STUDY / file)
    for arm in plan.arms:
        settings = module("jobs").settings_of_arm(plan, arm, 2, Path("pictures"))
        cfg = mim.compose(
            *settings, "data.val=tune", "base_lr=1e-3", "seed=1", "hydra.run.dir=unused"
        )
        assert (cfg.epochs, cfg.data.val, cfg.callback.online_probe.every_n_epochs) == (
            2,
            "tune",
            2,
        )
        looks = plan.arms[arm].looks
        assert (looks is not None) == ("at_epoch" in cfg.masker if cfg.masker else False)


def test_a_rate_is_chosen_by_as_many_trials_of_each_arm_on_a_seed_that_is_used_for_nothing_else(
    study,
) -> None:
    size = study.plan.size
    for arm in study.plan.arms:
        trials = study.tuning(arm)
        assert [job.rate for job in trials] == size.rates
        assert [job.seed for job in trials] == size.tuning_seeds * len(size.rates)
        assert all("data.val=tune" in job.overrides for job in trials)
    assert not {*size.tuning_seeds} & {*size.seeds}
    low, high = study.tuning("random")
    finish(low, **{"knn/top1": 0.3})
    assert study.rate("random") is None
    assert study.compared("random", "epochs") == []
    finish(high, **{"knn/top1": 0.4})
    assert study.rate("random") == size.rates[1]
    for job in study.compared("random", "epochs"):
        assert {"data.val=test", f"base_lr={size.rates[1]:g}", f"seed={job.seed}"} <= set(
            job.overrides
        )
    finish(high, **{"knn/top1": 0.3})
    assert study.rate("random") == size.rates[0], "of equals the lower"


def test_a_rate_is_the_best_on_average_over_tuning_seeds(study) -> None:
    size = study.plan.size._replace(tuning_seeds=[7, 8])
    study.plan = study.plan._replace(size=size)
    trials = study.tuning("random")
    assert [(job.rate, job.seed) for job in trials] == [(r, s) for r in size.rates for s in (7, 8)]
    for job, value in zip(trials, (0.3, 0.3, 0.5, 0.2), strict=True):
        assert study.rate("random") is None
        finish(job, **{"knn/top1": value})
    assert study.tried("random") == pytest.approx({size.rates[0]: 0.3, size.rates[1]: 0.35})
    assert study.rate("random") == size.rates[1]
    finish(trials[1], **{"knn/top1": 0.45})
    assert study.rate("random") == size.rates[0]


def test_equal_compute_is_other_epochs(study) -> None:
    assert study.plan.size.epochs == 2
    assert [study.epochs(arm, "compute") for arm in ("random", "emae", "amt")] == [2, 1, 4]
    assert study.has_compute("emae")
    assert not study.has_compute("random")
    for job in study.tuning("emae"):
        finish(job, **{"knn/top1": 0.3})
    assert all("epochs=1" in job.overrides for job in study.compared("emae", "compute"))
    assert all("epochs=2" in job.overrides for job in study.compared("emae", "epochs"))


def test_settings_of_a_budget_are_compared_at_equal_compute_alone(module, tmp_path) -> None:
    plan = module("plan").read_plan("toy", STUDY / "budget.yaml")
    flops = dict.fromkeys(plan.arms, 1.0) | {"shallow": 0.5}
    study = module("jobs").Study(plan, tmp_path / "toy", Path("pictures"), flops)
    assert {*module("plan").compared_arms(plan)} == {*plan.arms}
    assert study.ways(["random", "shallow"]) == ["compute"]
    for job in study.tuning("random") + study.tuning("shallow"):
        finish(job, **{"knn/top1": 0.1})
    for arm, epochs in (("random", 2), ("shallow", 4)):
        jobs = [job for job in study.missing() if (job.arm, job.kind) == (arm, "train")]
        assert [job.seed for job in jobs] == plan.size.seeds
        assert all(f"epochs={epochs}" in job.overrides for job in jobs)
        finish(jobs[0], **{"knn/top1": 0.1})
        (tuned,) = [job for job in study.missing() if (job.arm, job.kind) == (arm, "finetune")]
        assert tuned.after == jobs[0].folder
    out = tmp_path / "page.md"
    module("page").write_page(study, "toy", out)
    assert out.read_text().startswith(f"# {plan.title}\n")
    assert "--plan benchmarks/study/budget.yaml --data" in out.read_text()
    assert "Of pools" not in out.read_text()


def test_a_plan_is_the_settings_of_the_experiment_that_it_tries(module) -> None:
    plan = module("plan").read_plan("small", STUDY / "budget.yaml")
    wanted = mim.compose("experiment=budget/vit_base_one_gpu", "hydra.run.dir=unused")
    tried = mim.compose(*plan.arms["together"].settings, "hydra.run.dir=unused")
    assert tried.masker == wanted.masker


def test_what_has_ended_is_not_run_again_and_judging_waits(study, module) -> None:
    done = module("results").done
    first = study.missing()[0]
    finish(first, **{"knn/top1": 0.1})
    assert first.folder not in [job.folder for job in study.missing()]
    (first.folder / "results.json").write_text(json.dumps({"status": "interrupted", "metrics": {}}))
    assert not done(first.folder)
    assert study.missing()[0].folder == first.folder
    for job in study.tuning("random"):
        finish(job, **{"knn/top1": 0.1})
    assert not [job for job in study.missing() if job.kind == "probe"]
    finish(study.compared("random", "epochs")[0], **{"knn/top1": 0.1})
    (probe,) = [job for job in study.missing() if job.kind == "probe"]
    assert probe.overrides[:2] == [f"checkpoint={probe.after}", f"+data.root={study.data}"]
    assert "pool=[cls,mean,abmilp,attentive]" in probe.overrides


def test_a_folder_is_that_of_its_command_wherever_the_pictures_are(study, module) -> None:
    jobs = module("jobs")
    elsewhere = jobs.Study(study.plan, study.folder, Path("/elsewhere"), study.flops)
    names = {job.folder for each in (study, elsewhere) for job in each.tuning("random")}
    assert len(names) == len(study.plan.size.rates)


def test_a_folder_keeps_its_name(module) -> None:
    jobs, plan = module("jobs"), module("plan").read_plan("small")
    study = jobs.Study(plan, Path("small"), Path("pictures"), {})
    assert study.tuning("random")[2].folder == Path("small/random_0135bdbd65")


def test_each_compared_arm_is_fine_tuned_alike_and_so_are_random_weights(study, module) -> None:
    size, compared = study.plan.size, module("plan").compared_arms(study.plan)
    assert [claim.than in compared for claim in study.plan.claims] == [
        claim.arm is None for claim in study.plan.claims
    ]
    assert study.finetunings("random", "epochs") == []
    for job in study.tuning("random"):
        finish(job, **{"knn/top1": 0.1})
    trained = study.compared("random", "epochs")
    finish(trained[0], **{"knn/top1": 0.1})
    waiting = [job for job in study.missing() if job.kind == "finetune"]
    assert [(job.arm, job.seed) for job in waiting] == [
        *(("untrained", seed) for seed in size.seeds),
        ("random", trained[0].seed),
    ]
    *_, untrained, tuned = waiting
    assert tuned.after == trained[0].folder
    assert tuned.overrides[:-1] == [
        text.replace(f"seed={untrained.seed}", f"seed={tuned.seed}")
        for text in untrained.overrides[:-1]
    ]
    assert tuned.overrides[-1] == f"checkpoint={tuned.after}"
    assert study.finetunings("random", "compute") == [], "the size leaves them out"
    assert len({job.folder for job in study.finetunings("untrained", "epochs")}) == len(size.seeds)
    cfg = mim.compose(*untrained.overrides, "hydra.run.dir=unused")
    assert (cfg.checkpoint, cfg.epochs, cfg.base_lr) == (
        None,
        size.finetune.epochs,
        size.finetune.rate,
    )
    assert cfg.seed == untrained.seed
    assert cfg.task.mix is None


def test_a_folder_of_a_fine_tuning_is_that_of_the_training_that_it_goes_on_from(study) -> None:
    for job in study.tuning("random"):
        finish(job, **{"knn/top1": 0.1})
    before = [job.folder for job in study.finetunings("random", "epochs")]
    finish(study.tuning("random")[1], **{"knn/top1": 0.2})
    after = [job.folder for job in study.finetunings("random", "epochs")]
    assert set(before).isdisjoint(after)


def test_a_paired_interval_is_that_of_a_paired_test(module) -> None:
    verdict = module("verdict")
    better, than = {0: 50.0, 1: 52.5, 2: 51.0, 7: 90.0}, {0: 48.0, 1: 50.0, 2: 50.5, 9: 0.0}
    found = verdict.paired(better, than)
    test = stats.ttest_rel([50.0, 52.5, 51.0], [48.0, 50.0, 50.5])
    interval = test.confidence_interval(0.95)
    assert found.pairs == 3
    assert found.mean == pytest.approx(5 / 3)
    assert (found.low, found.high, found.p) == pytest.approx(
        (interval.low, interval.high, test.pvalue)
    )
    assert verdict.paired({0: 1.0}, {0: 2.0}) is None
    assert verdict.paired({0: 1.0, 1: 1.0}, {2: 2.0}) is None
    assert verdict.paired({0: 1.0, 1: 2.0}, {0: 0.0, 1: 1.0})[1:] == (1.0, 1.0, 1.0, 0.0)


@pytest.mark.parametrize(
    ("low", "high", "margin", "word"),
    [
        (0.1, 2.0, 0.0, "holds"),
        (-2.0, -0.1, 0.0, "does not hold"),
        (-0.1, 2.0, 0.0, "cannot be told here"),
        (-0.9, 2.0, 1.0, "holds"),
        (-1.1, 2.0, 1.0, "cannot be told here"),
        (-3.0, -1.1, 1.0, "does not hold"),
    ],
)
def test_a_verdict_goes_by_the_whole_interval(module, low, high, margin, word) -> None:
    difference = module("verdict").Difference(3, (low + high) / 2, low, high, 0.5)
    assert module("verdict").verdict(difference, margin) == word


def test_judges_have_to_agree(module) -> None:
    together = module("verdict").together
    assert together(["holds", "holds"]) == "holds"
    assert together(["does not hold", "not measured"]) == "not all measured"
    assert together(["cannot be told here", "not measured"]) == "cannot be told here"
    assert (
        together(["holds", "does not hold"])
        == together(["holds", "cannot be told here"])
        == ("cannot be told here")
    )
    assert together(["not measured"]) == module("verdict").verdict(None) == "not measured"


def test_the_papers_judges_are_asked_alone_too(module) -> None:
    rows, plan = module("rows"), module("plan")
    claim = plan.Claim("a", "A is better", "A", "amt", "random", judged=["linear"])
    words = {"k-NN": "does not hold", "linear": "holds", "fine-tuning": "not measured"}
    asked = [rows.Row(claim, judge, "epochs", None, word) for judge, word in words.items()]
    assert rows.by_its_judges(asked) == "holds (linear)"
    nobody = [row._replace(claim=claim._replace(judged=None)) for row in asked]
    assert rows.by_its_judges(nobody) == ""


def test_the_page_says_what_was_measured_and_what_was_not(study, module, tmp_path) -> None:
    for arm in ("random", "amt"):
        for job in study.tuning(arm):
            finish(job, **{"knn/top1": 0.3})

    def finish_all(at) -> None:
        for arm, gain in (("random", 0.0), ("amt", 0.1)):
            for job in study.compared(arm, at):
                linear = 0.5 + gain - 0.001 * job.seed * gain
                finish(job, **{"knn/top1": 0.4 + gain + 0.01 * job.seed, "linear/top1": linear})

    out = tmp_path / "docs" / "study.md"
    out.parent.mkdir()

    def written() -> dict[str, str]:
        module("page").write_page(study, "toy", out)
        found: dict[str, str] = {}
        for line in out.read_text().splitlines():
            if line.startswith("| "):
                name = line.split("|")[1].strip()
                found[name] = found.get(name, "") + line
        return found

    finish_all("epochs")
    assert "**not all measured**" in written()["AMT is better than random masking"]
    finish_all("compute")
    assert "**not all measured**" in written()["AMT is better than random masking"]
    for arm, top1 in (("random", 0.5), ("amt", 0.6), ("untrained", 0.3)):
        for job in study.finetunings(arm, "epochs"):
            finish(job, **{"val/top1": top1})
    assert "**not all measured**" in written()["AMT is better than random masking"]
    for arm, top1 in (("random", 0.5), ("amt", 0.6)):
        finish_probes(study, arm, {"abmilp": top1})
    cells = written()
    assert "**holds**" in cells["AMT is better than random masking"]
    assert "+10.0 ± 0.0" in cells["AMT is better than random masking"]
    assert "holds (linear, fine-tuning)" in cells["AMT is better than random masking"]
    assert "**not measured**" in cells["iBOT is better than MAE"]
    assert "40.5 ± 0.7 " in cells["random"]
    assert "not measured" in cells["simmim"]
    assert (out.parent / "figures" / "study.png").stat().st_size > 1000
    assert "python benchmarks/study" in out.read_text()
    assert "fine-tuning 30.0" in out.read_text()


def test_kept_numbers_stand_for_the_jobs_that_made_them(study, module, tmp_path) -> None:
    for arm in ("random", "amt"):
        for job in study.tuning(arm):
            finish(job, **{"knn/top1": 0.3, "knn/top1_untrained": 0.2, "train/loss": 1.0})
        for job in study.compared(arm, "epochs"):
            finish(job, **{"knn/top1": 0.4 + 0.01 * job.seed, "linear/top1": 0.5})
        finish_probes(study, arm, {"cls": 0.3, "abmilp": 0.5})
    pages = [tmp_path / name / "docs" / "study.md" for name in ("made", "again")]
    for page in pages:
        page.parent.mkdir(parents=True)
    module("page").write_page(study, "toy", pages[0])
    kept = module("page").numbers_beside(pages[0])
    module("kept").keep(study, kept)
    assert "train/loss" not in kept.read_text()
    assert "ece" not in kept.read_text()
    again = module("jobs").Study(study.plan, tmp_path / "again", study.data, study.flops)
    module("kept").lay_out(kept, again.folder)
    module("page").write_page(again, "toy", pages[1])
    assert pages[1].read_text() == pages[0].read_text()
    kinds = {job.kind for job in again.missing()}
    assert kinds & {job.kind for job in study.missing()} == {"tune", "train", "finetune"}
    assert {job.arm for job in again.missing() if job.after} == set(), "no weights are kept"


def test_a_probe_is_read_by_pool_and_its_best_setting(study, module) -> None:
    finish_trainings(study, "random")
    finish_probes(study, "random", {"cls": 0.3, "abmilp": 0.5})
    found = module("rows").pools_by_seed(study, "random", "abmilp")
    assert found == pytest.approx({0: 50.0, 1: 51.0})
    (claim,) = [claim for claim in study.plan.claims if claim.name == "abmilp_cls_mae"]
    (row,) = module("rows").rows_of(study, claim)
    assert row.word == "holds"
    assert row.difference.mean == pytest.approx(20.0)


def test_the_probe_of_a_pool_judges_every_arm_at_equal_epochs(study, module) -> None:
    assert study.plan.judges["abmilp"] == "AbMILP"
    for arm, top1 in (("random", 0.5), ("amt", 0.4)):
        finish_trainings(study, arm)
        finish_probes(study, arm, {"abmilp": top1})
    assert study.has_compute("amt")
    (claim,) = [claim for claim in study.plan.claims if claim.name == "amt_random"]
    (row,) = [row for row in module("rows").rows_of(study, claim) if row.judge == "AbMILP"]
    assert (row.at, row.word) == ("epochs", "does not hold")
    assert row.difference.mean == pytest.approx(-10)
    finish_trainings(study, "emae")
    assert [job.seed for job in study.missing() if (job.arm, job.kind) == ("emae", "probe")] == [
        *study.plan.size.seeds
    ]


def test_pictures_that_tune_are_trained_on_by_nothing(module, tmp_path) -> None:
    for split, count in (("train", 8), ("test", 3)):
        for name in ("cat", "dog"):
            for number in range(count):
                file = tmp_path / "all" / split / name / f"{number}.jpg"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(b"x")
    size = module("plan").read_plan("toy").size
    out = module("subset").subset(tmp_path / "all", size, tmp_path / "few")
    names = {
        split: sorted(p.name for p in (out / split / "cat").iterdir())
        for split in ("train", "tune", "test")
    }
    assert names == {
        "train": ["0.jpg", "1.jpg", "2.jpg", "3.jpg"],
        "tune": ["4.jpg", "5.jpg"],
        "test": ["0.jpg", "1.jpg"],
    }
    assert module("subset").subset(tmp_path / "nothing", size, out) == out, "made once"
    with pytest.raises(FileNotFoundError, match="has 4 pictures of cat for train, and needs 20"):
        module("subset").subset(tmp_path / "few", size._replace(images=20), tmp_path / "more")
    with pytest.raises(FileNotFoundError, match="holds no folder of a class"):
        module("subset").subset(tmp_path / "nothing", size, tmp_path / "more")


def test_a_plan_names_what_there_is(module, tmp_path) -> None:
    plan = module("plan")
    with pytest.raises(ValueError, match="--size huge is none; there are: whole, small, toy"):
        plan.read_plan("huge")
    bad = tmp_path / "plan.yaml"
    bad.write_text(
        (STUDY / "plan.yaml")
        .read_text()
        .replace("better: amt, than: random", "better: amd, than: random")
    )
    with pytest.raises(ValueError, match="claim amt_random names amd; there are: random"):
        plan.read_plan("toy", bad)
    text = (STUDY / "plan.yaml").read_text()
    bad.write_text(text.replace("judged: [linear]", "judged: [liner]"))
    with pytest.raises(ValueError, match="is judged by liner; there are: k-NN, linear"):
        plan.read_plan("toy", bad)


def test_operations_of_looks_and_of_the_phases_are_counted(module, monkeypatch, tmp_path) -> None:
    operations, plan = module("operations"), module("plan").read_plan("toy")
    data = SimpleNamespace(
        setup=lambda: None,
        splits=SimpleNamespace(train=range(8)),
        train_dataloader=lambda: [mim_batch()],
    )
    data.on_after_batch_transfer = lambda batch, _: batch
    monkeypatch.setattr(
        operations,
        "instantiate",
        lambda cfg, real=operations.instantiate: data if "root" in cfg else real(cfg),
    )
    names, file = ["random", "amt", "emae"], tmp_path / "operations.json"
    budget = module("plan").read_plan("toy", STUDY / "budget.yaml")
    grown = operations.operations(budget, ["random", "progressive"], Path("pictures"), file)
    # of two epochs, the first has images of 24 pixels: 9 patches of 16
    assert 0.75 < grown["progressive"] / grown["random"] < 0.85
    found = operations.operations(plan, names, Path("pictures"), file)
    assert 3.9 < found["emae"] / found["random"] < 4.1
    assert found["amt"] < 1.1 * found["random"]
    monkeypatch.setattr(operations, "count", None)  # what is known is not counted again
    assert operations.operations(plan, names, Path("pictures"), file) == found


def mim_batch() -> Any:
    from mim.batch import blank

    return blank(8, (32, 32))


def test_a_job_is_a_command_that_goes_on(study, monkeypatch) -> None:
    monkeypatch.syspath_prepend(STUDY)
    main = runpy.run_path(str(STUDY / "__main__.py"), run_name="study")
    job = study.missing()[0]
    task = main["task"](job)
    assert task.command[1:3] == ["-m", "mim.program.train"]
    assert "resume=auto" in task.command
    assert shlex.join(task.command).count("hydra.run.dir=") == 1
    assert task.folder == job.folder
