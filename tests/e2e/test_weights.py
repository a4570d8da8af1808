"""`checkpoint=` at the command line: SimMIM trained, started from by MAE, judged, and refused where
it does not fit.
"""

import torch

QUICK = (
    "callback=[checkpoint,results]",
    "epochs=1",
    "trainer.limit_train_batches=2",
    "warmup_epochs=0",
)


def test_a_run_starts_from_the_weights_of_another(train, command):
    first = train("model=simmim", *QUICK)
    assert first.code == 0, first.err
    second = train(
        "model=mae", *QUICK, "base_lr=1e-30", "weight_decay=0", f"checkpoint={first.folder}"
    )
    assert second.code == 0, second.err
    assert "(a run of ours): encoder 54 of 54 tensors, decoder not " in second.out
    before, after = first.checkpoint["state_dict"], second.checkpoint["state_dict"]
    names = [name for name in before if name.startswith("model.encoder.")]
    assert len(names) == 54
    assert all(torch.equal(before[name], after[name]) for name in names)

    judged = command(
        "eval",
        f"checkpoint={first.folder}",
        "evaluate=knn",
        "pool=mean",
        "bank_limit=100",
        "held_out_limit=100",
    )
    assert judged.code == 0, judged.err
    assert "encoder 54 of 54 tensors" in judged.out

    both = train(*QUICK, f"checkpoint={first.folder}", f"resume={first.folder}")
    assert (
        both.err
        == "error: checkpoint= starts anew from weights, resume= continues a run; give one of "
        "them\n"
    )
    other = train(*QUICK, "encoder.width=128", f"checkpoint={first.folder}")
    assert other.code == 1
    assert "does not fit ViT: it is 64 wide and the encoder 128" in other.err
