"""A recipe may lie in a folder of the user's own; one that lies nowhere is refused."""

import pytest

from mim.launch.choices import check_recipe


def test_a_recipe_is_looked_for_in_all_folders_and_refused_where_none_has_it(tmp_path):
    ours, own = tmp_path / "ours" / "recipe", tmp_path / "own" / "recipe"
    for folder, name in ((ours, "long"), (own, "mine")):
        folder.mkdir(parents=True)
        (folder / f"{name}.yaml").touch()
    check_recipe({"recipe": "mine"}, ours.parent, own.parent)
    check_recipe({"recipe": "long"}, ours.parent, own.parent)
    with pytest.raises(ValueError, match="recipe=mine is not a choice"):
        check_recipe({"recipe": "mine"}, ours.parent)
    with pytest.raises(ValueError, match="recipe=mien is not a choice; did you mean 'mine'"):
        check_recipe({"recipe": "mien"}, ours.parent, own.parent)
