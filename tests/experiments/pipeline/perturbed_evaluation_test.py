"""Which episode has which perturbation, and what is counted, without playing any."""

import jax
import numpy as np
import pytest
from PIL import Image

from experiments.pipeline import perturbed_evaluation
from experiments.pipeline.perturbed_evaluation import Choice, Label
from experiments.reporting import perturbation_chart, perturbation_page
from omnivla_jax.sim import scene as scenes
from omnivla_jax.train import evaluate
from omnivla_jax.world.perturbations import kinds, layout

TASKS = (1, 7)
NAMES = ("camera", "noise.fog", "layout")


@pytest.fixture(scope="module")
def scene():
    return scenes.make(
        "libero_goal", tasks=TASKS, engine="mujoco", extras=layout.DISTRACTORS
    )


def starts(count):
    config = evaluate.EvaluateConfig(count, count, chunks=1, exec_horizon=1)
    return evaluate.eval_initial_states(0, TASKS, config)


def test_kinds_tasks_and_severities_are_combined(scene):
    choice = Choice(NAMES, (0.5, 1.0), "all", None)
    rows, count = kinds.rows(NAMES), 3 * 4 * 2 * 2  # as the camera has four kinds
    episodes, labels = perturbed_evaluation.plan(choice, scene, starts(count), TASKS)
    told = {
        (label.kind, int(task), label.severity)
        for label, task in zip(labels, episodes.task)
    }
    assert len(told) == len(rows) * len(TASKS) * 2
    for dimension in ("camera", "noise", "layout"):
        assert sum(label.dimension == dimension for label in labels) == count / 3
    fewer, same = perturbed_evaluation.plan(choice, scene, starts(9), TASKS)
    assert same == labels[:9]
    for one, other in zip(jax.tree.leaves(episodes.key), jax.tree.leaves(fewer.key)):
        assert (one[:9] == other).all()
    number = np.asarray(episodes.key.change.noise.number)
    fog = [label.kind == "fog" for label in labels]
    assert set(number[fog]) == {35, 40} and not number[~np.array(fog)].any()


def test_official_variants_are_played_in_their_order(scene, tmp_path):
    base = scene.tasks[7].name
    other = scene.tasks[3].name  # not among the tasks
    file = tmp_path / "names.txt"
    file.write_text("\n".join([f"{base}_light_7", f"{other}_light_1", f"{base}_add_4"]))
    choice = Choice((), (1.0,), "all", file)
    assert len(perturbed_evaluation.official_variants(choice, scene, TASKS)) == 2
    episodes, labels = perturbed_evaluation.plan(choice, scene, starts(2), TASKS)
    assert [label.dimension for label in labels] == ["light", "layout"]
    assert (np.asarray(episodes.task) == 7).all()
    extras = np.asarray(episodes.key.change.layout.change.extras)
    assert extras.sum(axis=1).tolist() == [0, 1]
    with pytest.raises(ValueError, match="1 variants .* change the layout"):
        perturbed_evaluation.first_states(choice, scene, TASKS)
    file.write_text(f"{base}_light_7")
    assert perturbed_evaluation.first_states(choice, scene, TASKS) == [(7, 0)]


@pytest.mark.parametrize(
    "choice, recorded, words",
    [
        (Choice(("fire",), (1.0,), "all", None), False, "Unknown perturbation"),
        (Choice(("camera",), (1.5,), "all", None), False, "from 0 to 1"),
        (Choice(("layout",), (1.0,), "all", None), True, "recorded"),
    ],
)
def test_what_cannot_be_played_is_refused(choice, recorded, words):
    with pytest.raises(ValueError, match=words):
        choice.check(recorded=recorded)


def test_success_is_told_by_dimension_kind_and_severity(tmp_path):
    labels = [
        *(Label("camera", "azimuth", 0.5), Label("camera", "distance", 1.0)),
        *(Label("light", "light", None, "a_light_7", "our ranges"),) * 2,
    ]
    success = np.array([True, False, True, True])
    summary = perturbed_evaluation.summarise(success, labels)
    camera = summary["dimensions"]["camera"]
    assert camera["success"] == 0.5 and camera["episodes"] == 2
    assert camera["kinds"]["azimuth"]["success"] == 1.0
    assert camera["severities"]["1.0"]["success"] == 0.0
    assert summary["mean"] == 0.75
    low, high = evaluate.wilson_interval(2, 2)
    assert summary["dimensions"]["light"]["interval"] == [low, high]
    table = perturbation_page.table(summary)
    assert "| **light** * | 100.0%" in table and "light: our ranges" in table
    perturbation_page.write(tmp_path, summary | {"title": "<x>"}, {"camera": "c.mp4"})
    page = (tmp_path / perturbation_page.PAGE).read_text()
    assert "&lt;x&gt;" in page and 'src="c.mp4"' in page and "our ranges" in page
    picture = Image.open(tmp_path / perturbation_chart.CHART)
    assert min(picture.size) > 500
