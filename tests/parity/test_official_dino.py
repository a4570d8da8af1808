"""DINO against facebookresearch/dino @ 7c446df: tolerances on max |a - b| / max |b|."""

import pytest
import torch

from mim.head.projection import ProjectionHead
from mim.loss.distillation import ClsDistillation
from mim.optim.number import Cosine, Linspace
from mim.optim.table import LinspaceCosine
from mim.part import Progress
from mim.views import Seen, Shown
from tests.parity.distilled import check_end, check_norms, ours, train, training_of, views_of


@pytest.mark.parametrize("kind", ["head", "head_bn"])
def test_the_head_is_official(golden, distance, kind):
    reference = golden("dino")
    m, r = reference.meta, reference.under(f"{kind}.")
    norm = "batch" if kind == "head_bn" else None
    head = ProjectionHead(
        m["embed_dim"],
        m["out_dim"],
        layers=m["head_nlayers"],
        hidden=m["head_hidden_dim"],
        bottleneck=m["head_bottleneck_dim"],
        norm=norm,
        trained_magnitude="last_layer.weight_g" in reference.names(f"{kind}.gradnorm_names"),
    )
    head.load_state_dict(
        {name.removeprefix("sd."): value for name, value in r.items() if name.startswith("sd.")}
    )
    x = reference["head.x"].requires_grad_()
    out = head(x)
    assert distance(out, r["out"]) < 2e-5
    loss = (out * reference["head.probe"]).sum()
    assert loss.item() == pytest.approx(r["loss"].item(), rel=2e-5)
    loss.backward()
    assert distance(x.grad, r["grad_x"]) < 1e-4
    gradients = {name: p.grad for name, p in head.named_parameters() if p.grad is not None}
    expected = {
        name.removeprefix("grad."): value for name, value in r.items() if name.startswith("grad.")
    }
    assert len(expected) > 3
    for name, value in expected.items():
        assert distance(gradients[name], value) < 1e-4, name
    for name, value in r.items():
        if name.startswith("after."):
            assert (
                distance(head.state_dict()[name.removeprefix("after.")].float(), value.float())
                < 2e-5
            )


def test_losses_gradients_and_centres_are_official(golden, distance):
    reference = golden("dino")
    m, r = reference.meta, reference.under("loss.")
    t = m["train"]
    term = ClsDistillation(m["out_dim"], t["student_temp"], 1.0, t["center_momentum"])
    for step in range(len(r["loss"])):
        term.target.in_force.fill_(r["temps"][step].item())
        student = r["student"][step].requires_grad_()
        views = student.unflatten(0, (m["ncrops"], m["batch"]))
        loss = term(Shown(views), Seen(r["teacher"][step].unflatten(0, (2, m["batch"]))))
        assert loss.item() == pytest.approx(r["loss"][step].item(), rel=1e-5)
        assert loss.item() == pytest.approx(r["loss_f64"][step].item(), rel=1e-5)
        loss.backward()
        term.target.after_step(term, Progress(step, 4, 1))
        assert distance(student.grad, r["grad_student"][step]) < 1e-4
        assert distance(term.target.centre, r["center"][step].flatten()) < 2e-5


def test_schedules_and_temperatures_are_official(golden):
    r = golden("dino")
    for s in r.meta["schedules"]:
        values, n = r[f"sched_{s['index']}"], s["epochs"] * s["per_epoch"]
        lr, number = LinspaceCosine(s["warmup_epochs"], s["final"]), Cosine(s["base"], s["final"])
        for step in range(0, n, 7):
            p = Progress(step, n, s["per_epoch"])
            found = s["base"] * lr(p, s["base"]) if s["warmup_epochs"] else number(p)
            assert found == pytest.approx(values[step].item(), rel=1e-9)
    for s in r.meta["temperature_schedules"]:
        start, end, warmup = (
            s["warmup_teacher_temp"],
            s["teacher_temp"],
            s["warmup_teacher_temp_epochs"],
        )
        schedule = Linspace(start, end, warmup) if warmup else lambda progress, end=end: end
        found = [schedule(Progress(epoch, s["epochs"], 1)) for epoch in range(s["epochs"])]
        assert found == pytest.approx(r[f"temps_{s['index']}"].tolist(), rel=1e-9)


def task_of(r):
    m, t = r.meta, r.meta["train"]
    temperatures = {"cls": (t["warmup_teacher_temp"], t["teacher_temp"])}
    return training_of(
        m, t | {"norm_last_layer": m["norm_last_layer"]}, m["out_dim"], None, temperatures
    )


def test_one_pass_is_official(golden, distance):
    r = golden("dino")
    m, task = r.meta, task_of(r)
    task.model.load_state_dict(ours(r.under("sd.")))
    task.teacher.load_state_dict(ours(r.under("teacher.sd.")))
    target = task.loss.term["cls"].target
    target.centre.copy_(r["center"].flatten())
    task.train()
    for part in task.parts:
        part.begin_step(Progress(m["epoch"] * 2, 4, 2))
    batch = views_of(r["images"], r["local_images"])
    seen = task.teacher(batch)
    made = task.model(batch)
    assert distance(seen.cls.flatten(0, 1), r["teacher_out"]) < 2e-5
    assert distance(made.cls.flatten(0, 1), r["student_out"]) < 2e-5
    loss, _, _ = task.objective(batch)
    assert loss.item() == pytest.approx(r["loss"].item(), rel=1e-5)
    assert loss.item() == pytest.approx(r["loss_f64"].item(), rel=1e-5)
    loss.backward()
    target.after_step(task.model, Progress(0, 4, 2))
    assert distance(target.centre, r["center_after"].flatten()) < 2e-5
    gradient = {name: p.grad for name, p in task.model.named_parameters() if p.grad is not None}
    expected = ours(r.under("grad."))
    assert len(expected) > 6
    for name, value in expected.items():
        assert distance(gradient[name], value) < 1e-4, name
    names = [next(iter(ours({n: torch.zeros(1)}))) for n in r.names("gradnorm_names")]
    for name, norm in zip(names, r["gradnorm"].tolist(), strict=True):
        if norm > 1e-7:
            assert gradient[name].norm().item() == pytest.approx(norm, rel=2e-3), name


def test_several_steps_end_with_the_official_student_teacher_and_centre(golden, distance):
    r = golden("dino")
    t, task = r.meta["train"], task_of(r)
    task.model.load_state_dict(ours(r.under("sd.")))
    passes = t["steps_per_epoch"]
    images, local = r["train.images"], r["train.local_images"]
    peak = t["lr"] * t["batch"] / 256
    steps = train(
        task,
        t,
        peak,
        lambda step: views_of(images[step % passes], local[step % passes]),
        lambda step: None,
    )
    for number, step in enumerate(steps):
        assert step.lr == pytest.approx(r["train.lr"][number].item(), rel=1e-9)
        assert step.weight_decay == pytest.approx(r["train.weight_decay"][number].item(), rel=1e-9)
        assert task.teacher.momentum(step.progress) == pytest.approx(
            r["train.momentum"][number].item(), rel=1e-12
        )
        assert step.loss == pytest.approx(r["train.loss"][number].item(), rel=1e-5)
        assert step.loss == pytest.approx(r["train.loss_f64"][number].item(), rel=1e-5)
        check_norms(r, "train.", number, step.norms)
    check_end(r, "train.", "student", task.model.state_dict(), distance)
    check_end(r, "train.", "teacher", task.teacher.state_dict(), distance)
    assert distance(task.loss.term["cls"].target.centre, r["train.center"].flatten()) < 2e-5
