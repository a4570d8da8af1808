"""Links in a folder that somebody else has made are not written through."""

import pytest

from mim.checkpoint.atomic import AtomicCheckpointIO
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
