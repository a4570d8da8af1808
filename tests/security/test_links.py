"""Links in a folder that somebody else has made are not written through."""

import os

import pytest

from mim.checkpoint.atomic import AtomicCheckpointIO
from mim.launch.own_folder import check_own_folder
from mim.plain import no_link
from mim.sweep.job import write_record
from mim.sweep.table import write_table


@pytest.fixture
def victim(tmp_path):
    file = tmp_path / "victim"
    file.write_text("mine")
    return file


@pytest.mark.parametrize("name", ["sweep.md", "sweep.csv"])
def test_a_table_replaces_a_link(tmp_path, victim, name):
    sweep = tmp_path / "sweep"
    (sweep / "0").mkdir(parents=True)
    write_record(sweep / "0", overrides=["seed=0"], exit_code=0)
    (sweep / name).symlink_to(victim)
    write_table(sweep, [], True)
    assert victim.read_text() == "mine"
    assert "seed=0" in (sweep / name).read_text()


@pytest.mark.parametrize("name", ["job.json", ".job.json.partial"])
def test_a_record_replaces_a_link(tmp_path, victim, name):
    victim.write_text("{}")
    (tmp_path / name).symlink_to(victim)
    write_record(tmp_path, overrides=["seed=0"])
    assert victim.read_text() == "{}"


@pytest.mark.parametrize("name", ["last.ckpt", ".last.ckpt.partial"])
def test_a_checkpoint_replaces_a_link(tmp_path, victim, name):
    (tmp_path / name).symlink_to(victim)
    AtomicCheckpointIO().save_checkpoint({"a": 1}, tmp_path / "last.ckpt")
    assert victim.read_text() == "mine"
    assert AtomicCheckpointIO().load_checkpoint(tmp_path / "last.ckpt") == {"a": 1}


def test_a_dangling_link_is_removed_and_a_file_stays(tmp_path, victim):
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    assert not no_link(tmp_path / "dangling").is_symlink()
    assert no_link(victim).read_text() == "mine"


def test_files_that_are_links_out_of_a_folder_are_taken_out_of_it(tmp_path, victim):
    run = tmp_path / "run"
    (run / "pictures").mkdir(parents=True)
    (run / "kept.png").write_text("a picture")
    (run / "inside.png").symlink_to(run / "kept.png")
    for name in ("metrics.csv", "pictures/reconstruction_0025.png", "output.log"):
        (run / name).symlink_to(victim)
    (run / "dangling").symlink_to(tmp_path / "nowhere")
    check_own_folder(run)
    left = sorted(str(path.relative_to(run)) for path in run.rglob("*"))
    assert left == ["inside.png", "kept.png", "pictures"]
    assert victim.read_text() == "mine"
    assert check_own_folder(tmp_path / "not" / "there").is_dir()
    with pytest.raises(
        OSError, match=r"cannot be made \(Not a directory\); give another, paths\.run="
    ):
        check_own_folder(victim / "run")


@pytest.mark.parametrize("name", ["checkpoints", "pictures", "pictures/deeper"])
def test_a_folder_that_is_a_link_out_is_refused(tmp_path, name):
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (run / name).parent.mkdir(parents=True)
    (run / name).symlink_to(elsewhere)
    with pytest.raises(
        ValueError, match=r"is a link to .*elsewhere, where a run would write; .*paths\.run="
    ):
        check_own_folder(run)


@pytest.mark.parametrize("name", ["metrics.csv", "checkpoints/last.ckpt"])
def test_a_pipe_in_a_folder_is_refused(tmp_path, name):
    (tmp_path / "run" / name).parent.mkdir(parents=True)
    os.mkfifo(tmp_path / "run" / name)
    with pytest.raises(ValueError, match="is a pipe, a socket or a device"):
        check_own_folder(tmp_path / "run")


def test_a_training_in_a_handed_folder_writes_nowhere_else(command, tmp_path, victim):
    run = tmp_path / "handed"
    run.mkdir()
    for name in ("metrics.csv", "results.json", "config.yaml"):
        (run / name).symlink_to(victim)
    short = (
        "epochs=1",
        "warmup_epochs=0",
        "callback.online_probe=null",
        "encoder.width=16",
        "encoder.depth=1",
    )
    assert command("train", *short, "encoder.heads=2", "trainer=cpu", f"paths.run={run}").code == 0
    assert victim.read_text() == "mine"
    assert all(
        not (run / name).is_symlink() for name in ("metrics.csv", "results.json", "config.yaml")
    )
    (run / "checkpoints").rename(tmp_path / "checkpoints")
    (run / "checkpoints").symlink_to(tmp_path / "checkpoints")
    ended = command("train", *short, "encoder.heads=2", "trainer=cpu", f"paths.run={run}")
    assert (ended.code, ended.err.count("\n")) == (1, 1)
    assert "checkpoints is a link to" in ended.err


def test_a_sweep_in_a_handed_folder_writes_nowhere_else(command, ran, runs, tmp_path, victim):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    sweep = runs / "sweeps" / "mine"
    sweep.mkdir(parents=True)
    (sweep / "multirun.yaml").symlink_to(victim)
    (sweep / "1").symlink_to(elsewhere)
    ended = command("train", "-m", "seed=0,1", "sweep.name=mine")
    assert (ended.code, ran) == (1, [])
    assert "is a link to" in ended.err
    (sweep / "1").unlink()
    assert command("train", "-m", "seed=0,1", "sweep.name=mine").code == 0
    assert (victim.read_text(), list(elsewhere.iterdir())) == ("mine", [])
