"""What a user does on a cluster, with the scripts of docs/many_processes.md, on a real SLURM of two
nodes.
"""

from collections import Counter

TINY = (
    "callback=[announce,finite,interruption,lost_rank,checkpoint,progress,results]",
    *(
        "images_per_step=128",
        "trainer.accelerator=cpu",
        "trainer.log_every_n_steps=1",
        "warmup_epochs=1",
    ),
)
SHORT, ENDLESS = "epochs=2", "epochs=10000"


def attempts(job):
    """Lines of a job's output, of each attempt, each of which begins with its model."""
    begun = [number for number, line in enumerate(job.said) if line.startswith("model ")]
    ends = [*begun[1:], len(job.said)]
    return [job.said[begin:end] for begin, end in zip(begun, ends, strict=True)]


def repeated(lines):
    """What is said more than once, but for the folder of a run that is finished: it is named first
    and last.
    """
    counts = Counter(line for line in lines if line.strip())
    return [line for line, count in counts.items() if count > 1 + line.startswith("run ")]


def test_two_nodes_train_as_one_and_say_everything_once(submit):
    job = submit("train", *TINY, SHORT)
    job.wait("COMPLETED")
    assert job.results["status"] == "finished"
    assert job.steps == list(range(20))
    assert len(attempts(job)) == 1
    assert not repeated(job.said)


def test_a_job_is_queued_again_before_its_time_limit_and_by_hand_but_not_after_scancel(
    submit, cluster
):
    job = submit("train", *TINY, ENDLESS)
    job.wait_for_steps(15)
    job.leave(120)
    job.wait("PENDING")
    by_signal = len(job.steps)
    cluster("scontrol", "update", f"JobId={job.number}", "TimeLimit=1-00:00:00")
    assert f"SLURM will run job {job.number} again" in job.said
    assert job.results["status"] == "interrupted"

    job.wait_for_steps(by_signal + 5)
    cluster("scontrol", "requeue", job.number)
    job.wait("PENDING")
    by_hand = len(job.steps)

    job.wait_for_steps(by_hand + 5)
    cluster("scancel", job.number)
    job.wait("CANCELLED")
    assert job.known["Restarts"] == "2"
    assert job.steps == list(range(len(job.steps)))
    for lines, end in zip(attempts(job), ("SIGUSR1", "SIGTERM", "SIGTERM"), strict=True):
        assert not repeated(lines)
        assert sum(line.startswith(f"stopped by {end}") for line in lines) == 1
    assert sum(line.startswith("SLURM will run") for line in job.said) == 1


def test_after_a_node_is_lost_a_job_goes_on_from_its_last_checkpoint(submit, cluster):
    job = submit("train", *TINY, ENDLESS, "callback.checkpoint.last_every_n_steps=5")
    job.wait_for_steps(15)
    cluster.kill_node("two")
    job.wait("PENDING")
    assert sum(line.startswith("error: rank 1 was lost") for line in job.said) == 1
    saved = len(job.steps)
    cluster.start_node("two")
    job.wait_for_steps(saved + 5)
    assert job.known["Restarts"] == "1"
    assert job.steps == list(range(len(job.steps)))


def test_an_array_is_a_sweep(submit):
    array = submit("seeds", *TINY, SHORT, options=["--array=0-1"])
    for seed in (0, 1):
        job = array.task(seed)
        job.wait("COMPLETED")
        assert job.results["seed"] == seed
        assert job.steps == list(range(20))
        assert not repeated(job.said)
