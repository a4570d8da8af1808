"""Two processes with the same global batch train like one."""

import pytest
import torch


@pytest.mark.slow
def test_two_processes_give_the_loss_and_weights_of_one(train, train_by_two):
    settings = (
        "callback=[checkpoint,online_probe,results]",
        "watch_every_n_epochs=2",
        "debug=limit",
    )
    one = train(*settings, "trainer.gradient_clip_val=0.5")
    two = train_by_two(*settings, "trainer.gradient_clip_val=0.5", "data.batch_size=64")
    ours, theirs = one.column("train/loss"), two.column("train/loss")
    assert ours.keys() == theirs.keys()
    assert all(abs(float(loss) - float(theirs[step])) < 1e-5 for step, loss in ours.items())
    assert two.metrics["knn/top1_untrained"] == one.metrics["knn/top1_untrained"]
    for name, weight in one.checkpoint["state_dict"].items():
        other = two.checkpoint["state_dict"][name]
        # the gradient of a key bias is rounding noise, which Adam turns into whole steps
        if name.endswith("qkv.bias"):
            query, _, value = weight.chunk(3)
            other_query, _, other_value = other.chunk(3)
            weight, other = torch.cat([query, value]), torch.cat([other_query, other_value])
        assert torch.allclose(weight, other, atol=2e-4), name
