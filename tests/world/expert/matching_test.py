"""Skills are found by goal and scene, whatever the words and wherever objects stand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.core import compile as compilation
from omnivla_jax.sim import env
from omnivla_jax.sim import scene as scenes
from omnivla_jax.sim.assets import panda
from omnivla_jax.sim.libero import files, tasks
from omnivla_jax.world import expert
from omnivla_jax.world.expert import composition, matching, waypoints
from omnivla_jax.world.expert.grasps import grasp_rim
from omnivla_jax.world.expert.placing import carry
from omnivla_jax.world.expert.skills import SKILLS

FORTY = matching.libero_skills()
BOWL = "akita_black_bowl_1"


@pytest.fixture
def rewritten(tmp_path):
    """The task of a file of LIBERO's after some replacements, under another name."""

    def read(suite, row, *replacements):
        text = files.suite_files(suite).paths[row].read_text()
        for old, new in replacements:
            assert old in text, old
            text = text.replace(old, new)
        path = tmp_path / "nobody_knows_these_words.bddl"
        path.write_text(text)
        return tasks.read_task(path)

    return read


def exchanged(text, first, second):
    """The text of a file in which two things start in each other's places."""
    start, goal = text.split("(:goal")
    for old, new in ((first, "?"), (second, first), ("?", second)):
        assert f"(On {old} " in start, old
        start = start.replace(f"(On {old} ", f"(On {new} ")
    return f"{start}(:goal{goal}"


@pytest.mark.parametrize("known", FORTY, ids=lambda s: s.task.name[:50])
def test_each_of_the_forty_has_its_skill(known):
    task, skill = known
    assert skill is SKILLS[task.instruction]
    assert expert.find_skill(task) is skill
    renamed = task._replace(name="user", instruction="do as you like")
    assert expert.find_skill(renamed) is skill


@pytest.mark.parametrize("known", FORTY, ids=lambda s: s.task.name[:50])
def test_small_displacements_keep_the_skill(known):
    """As in LIBERO-Plus: every rectangle somewhere else, by up to 4 cm."""
    rng = np.random.default_rng(0)

    def moved(start):
        dx, dy = rng.uniform(-0.04, 0.04, 2)
        ranges = [(a + dx, b + dy, c + dx, d + dy) for a, b, c, d in start.ranges]
        return start._replace(ranges=tuple(ranges))

    task = known.task._replace(
        objects=tuple(map(moved, known.task.objects)),
        fixtures=tuple(map(moved, known.task.fixtures)),
    )
    assert expert.find_skill(task) == known.skill


def test_a_distractor_changes_nothing(rewritten):
    task = rewritten(
        "libero_goal",
        8,
        ("plate_1 - plate", "plate_1 - plate\n milk_1 - milk"),
        ("(:init", "(:init (On milk_1 main_table_stove_front_region)"),
    )
    assert len(task.objects) == 5
    assert expert.find_skill(task) == SKILLS["put the bowl on the plate"]


def test_the_goal_counts_not_the_file_name(rewritten):
    """As in LIBERO-PRO: another goal under the old words."""
    task = rewritten("libero_object", 3, ("(In bbq_sauce_1", "(In ketchup_1"))
    wanted = SKILLS["pick up the ketchup and place it in the basket"]
    assert expert.find_skill(task) == wanted


def test_exchanged_objects_choose_by_the_bowls_start(tmp_path):
    """The bowl from the stove and the one from the cabinet, as in LIBERO-PRO."""
    text = files.suite_files("libero_spatial").paths[7].read_text()
    path = tmp_path / "on_the_stove.bddl"
    path.write_text(exchanged(text, BOWL, "akita_black_bowl_2"))
    wanted = "pick up the black bowl on the wooden cabinet and place it on the plate"
    assert expert.find_skill(tasks.read_task(path)) == SKILLS[wanted]


def found_skill(task):
    skill = expert.find_skill(task)
    assert skill is not None
    return skill


def test_other_instances_get_the_skill_renamed(rewritten):
    task = rewritten(
        "libero_spatial", 8, (f"(And (On {BOWL}", "(And (On akita_black_bowl_2")
    )
    skill = found_skill(task)
    assert waypoints.body_names(skill) == {
        "akita_black_bowl_2",
        "plate_1",
        panda.EEF_BODY,
    }
    theirs = "pick up the black bowl next to the ramekin and place it on the plate"
    assert [row.offset for row in skill] == [row.offset for row in SKILLS[theirs]]
    cabinet = rewritten("libero_goal", 3, ("wooden_cabinet_1", "cupboard"))
    assert "cupboard_top_level" in waypoints.body_names(found_skill(cabinet))


def test_a_moved_target_zone_moves_world_points(rewritten):
    old = "(-0.09 0.16999999999999998 -0.010000000000000002 0.25)"
    task = rewritten("libero_goal", 5, (old, "(-0.12 0.16 -0.04 0.24)"))
    skill = found_skill(task)
    base = SKILLS["push the plate to the front of the stove"]
    shifts = {
        tuple(np.round(np.subtract(row.offset, known.offset), 6))
        for row, known in zip(skill, base, strict=True)
        if known.anchor == waypoints.WORLD
    }
    assert shifts == {(-0.03, -0.01, 0.0)}


@pytest.mark.parametrize(
    "suite, row, old, new",
    [
        ("libero_goal", 8, f"(On {BOWL} plate_1)", "(On plate_1 flat_stove_1)"),
        ("libero_goal", 8, f"(On {BOWL} plate_1)", f"(Up {BOWL})"),
        # A drawer that its skill needs open, shut.
        ("libero_spatial", 4, "(Open wooden_cabinet_1_top_region)", ""),
    ],
)
def test_no_skill_for_unknown_goals_or_joints(rewritten, suite, row, old, new):
    assert expert.find_skill(rewritten(suite, row, (old, new))) is None


def test_a_registered_skill_serves_its_goal(rewritten, monkeypatch):
    goal = f"(On {BOWL} plate_1)"
    example = rewritten("libero_goal", 8, (goal, "(On plate_1 flat_stove_1)"))
    assert expert.find_skill(example) is None
    monkeypatch.setattr(matching, "_REGISTERED", [])
    held = grasp_rim("plate_1", radius=0.06, height=0.01, side=0.0)
    skill = (*carry(held, "flat_stove_1", (0.15, 0.0, 0.02)), waypoints.REST)
    expert.register_skill(example, skill)
    with pytest.raises(ValueError, match="names .'milk_1'.: use bodies of"):
        expert.register_skill(example, (waypoints.Waypoint("milk_1", (0, 0, 0)),))
    assert expert.find_skill(example) == skill
    changes = (("plate_1", "dish"), (f"(On {BOWL} dish)", "(On dish flat_stove_1)"))
    renamed = found_skill(rewritten("libero_goal", 8, *changes))
    assert waypoints.body_names(renamed) == {"dish", "flat_stove_1", panda.EEF_BODY}


def test_skills_without_world_points_serve_other_arenas():
    """The stove's knob turns alike in the kitchen, the drawer's skill is composed."""
    knob, drawer = (tasks.suite("libero_goal").tasks[row] for row in (7, 3))
    skill = expert.find_skill(knob._replace(arena="kitchen"))
    assert skill == SKILLS["turn on the stove"]
    kitchen = drawer._replace(arena="kitchen")
    assert found_skill(kitchen) == composition.plan(kitchen)
    assert found_skill(drawer) == SKILLS[drawer.instruction]


def test_goals_are_written_as_in_their_files():
    task = tasks.suite("libero_10").tasks[3]
    assert matching.goal_text(task) == (
        "Close white_cabinet_1_bottom_region and "
        "In akita_black_bowl_1 white_cabinet_1_bottom_region"
    )


def test_skills_name_only_instances_of_the_goal():
    """Renaming the goal's instances then renames all that a skill touches."""
    for task, skill in FORTY:
        instances = matching.task_names(task).instances
        for body in waypoints.body_names(skill) - {panda.EEF_BODY}:
            assert body.startswith(tuple(instances)), (task.name, body)
        assert sum(goal.zone is not None for goal in task.goal) <= 1


@pytest.mark.slow
def test_reworded_exchanged_and_regoaled_files_are_solved(tmp_path):
    """Three files in one scene, on C MuJoCo, from sampled states."""
    goal, objects = (
        files.suite_files(suite).paths for suite in ("libero_goal", "libero_object")
    )
    (tmp_path / "a_reworded.bddl").write_text(goal[8].read_text())
    drawer = exchanged(goal[3].read_text(), BOWL, "cream_cheese_1")
    (tmp_path / "b_exchanged.bddl").write_text(drawer)
    ketchup = objects[3].read_text().replace("(In bbq_sauce_1", "(In ketchup_1")
    (tmp_path / "c_regoaled.bddl").write_text(ketchup)
    scene = scenes.make(str(tmp_path), engine="mujoco")

    def run(keys):
        def control(carry, _):
            state, expert_state = carry
            action, expert_state = expert.act(scene, state, expert_state)
            return (env.step(scene, state, action)[0], expert_state), None

        start = env.reset(scene, jnp.arange(6) % 3, keys)
        carry, _ = jax.lax.scan(control, (start, expert.init(start)), length=230)
        return carry[0].success

    success = compilation.jit(run)(jax.random.split(jax.random.key(7), 6))
    by_file = np.asarray(success).reshape(2, 3).any(axis=0)
    assert by_file.all(), success
