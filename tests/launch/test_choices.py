"""Settings that nothing reads: those of the command line are refused, those of a recipe are its own
affair.
"""

from pathlib import Path

import pytest

from mim.launch.choices import composed

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.mark.parametrize("data", ["digits", "imagenet"])
def test_a_recipe_may_set_more_than_is_read(composed_command, data):
    assert composed_command(f"train.py schedule=constant data={data}").warmup_epochs > 0


@pytest.mark.parametrize("override", ["warmup_epochs=3", "+warm=3"])
def test_what_the_command_line_sets_has_to_be_read(composed_command, override):
    with pytest.raises(
        ValueError, match=r"warm\w*=3 would do nothing: what is chosen does not read it"
    ):
        composed_command(f"train.py schedule=constant {override}")


def test_a_setting_left_as_it_is_may_be_said(composed_command):
    composed_command("eval.py checkpoint=run evaluate=attention_statistics bank_limit=null")


@pytest.mark.parametrize("option", [["--config-dir", "{}"], ["--config-dir={}"], ["-cd", "{}"]])
def test_choices_of_a_folder_of_the_users_own_are_composed(tmp_path, monkeypatch, option):
    (tmp_path / "masker").mkdir()
    (tmp_path / "masker" / "mine.yaml").write_text("_target_: my_parts.Mine\nwindow: 3\n")
    given = [each.format(tmp_path) for each in option]
    monkeypatch.setattr("sys.argv", ["train.py", *given, "masker=mine", "masker.windw=2"])
    cfg = composed(CONFIGS, "train", ["masker=mine"])
    assert cfg is not None
    assert cfg.masker.window == 3
    monkeypatch.setattr("sys.argv", ["train.py", "masker=mine"])
    assert composed(CONFIGS, "train", ["masker=mine"]) is None
