"""Settings that nothing reads: those of the command line are refused, those of a recipe are its own
affair.
"""

import pytest


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
