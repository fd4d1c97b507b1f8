"""Tests of omnivla_jax.sim.libero.tasks: LIBERO's forty tasks, and a user's own."""

import warnings

import pytest

from omnivla_jax.sim.libero import files, task_files, tasks

# The predicates of the goals of each suite, counted in LIBERO's files.
GOALS = {
    "libero_spatial": {"on": 10},
    "libero_object": {"in": 10},
    "libero_goal": {"open": 1, "in": 1, "on": 7, "turnon": 1},
    "libero_10": {"on": 7, "in": 9, "close": 2, "turnon": 2},
}


@pytest.mark.parametrize("name", GOALS)
def test_goal_predicates_are_libero_s(name):
    suite = tasks.suite(name)
    assert len(suite.tasks) == 10
    counts: dict[str, int] = {}
    for task in suite.tasks:
        for goal in task.goal:
            counts[goal.predicate] = counts.get(goal.predicate, 0) + 1
    assert counts == GOALS[name]


@pytest.mark.parametrize(
    "name, row, instruction, arena",
    [
        ("libero_goal", 7, "turn on the stove", "tabletop"),
        ("libero_object", 0, "pick up the alphabet soup and place it in the basket",
         "floor"),
        ("libero_10", 8, "put both moka pots on the stove", "kitchen"),
        ("libero_10", 4, "put the white mug on the left plate and put the yellow and "
         "white mug on the right plate", "living_room"),
        ("libero_10", 5, "pick up the book and place it in the back compartment of the "
         "caddy", "study"),
    ],
)  # fmt: skip
def test_instructions_are_the_file_names(name, row, instruction, arena):
    task = tasks.suite(name).tasks[row]
    assert task.instruction == instruction and task.arena == arena


def test_starts_of_all_kinds():
    spatial = tasks.suite("libero_spatial").tasks
    bowl = {row: spatial[row].objects[0] for row in (3, 4, 5, 7)}
    assert (bowl[3].relation, bowl[3].reference) == ("on", "cookies_1")
    assert (bowl[4].relation, bowl[4].region) == ("in", "top_region")
    assert bowl[5].reference == "glazed_rim_porcelain_ramekin_1"
    assert (bowl[7].reference, bowl[7].region) == ("flat_stove_1", "cook_region")
    opened = tasks.Goal("open", "wooden_cabinet_1_top_region")
    assert spatial[4].joints == (opened,)
    cabinet = spatial[4].fixtures[0]
    assert cabinet.name == "wooden_cabinet_1" and 2.66 < cabinet.yaw[0] < 2.67


@pytest.mark.parametrize("row", range(10))
def test_an_inventory_of_one_task_is_its_own(row):
    task = tasks.suite("libero_10").tasks[row]
    assets = tasks.scene_assets((task,))
    assert tuple(assets.objects) == tuple(start.name for start in task.objects)
    assert assets.arenas == (task.arena,)


def test_an_inventory_is_a_union_without_repeats():
    assets = tasks.scene_assets(tasks.suite("libero_object").tasks)
    assert len(assets.objects) == 11 and assets.fixtures == {}
    assert tasks.scene_assets(tasks.suite("libero_10").tasks).arenas == (
        "living_room",
        "kitchen",
        "study",
    )


def test_a_user_s_file_and_folder_are_suites(tmp_path):
    path = tmp_path / "my_own_task.bddl"
    text = files.suite_files("libero_spatial").paths[4].read_text()
    path.write_text(text.replace("plate_1))", "cookies_1))"))
    for name in (str(path), str(path.parent)):
        with pytest.warns(task_files.TaskFileWarning, match="name says 'my own task'"):
            suite = tasks.suite(name)
        words = "pick the akita black bowl in the top layer of the wooden cabinet and "
        words += "place it on the plate"
        assert [task.instruction for task in suite.tasks] == [words]
        assert suite.tasks[0].goal[0].target == "cookies_1"
        assert (suite.horizon, suite.prompt) == (600, "clean")


PLATE = "put_the_bowl_on_the_plate"


@pytest.fixture
def write(tmp_path):
    """Writes the task "put the bowl on the plate" under a name, with texts replaced."""

    def rewritten(name, *changes):
        text = files.suite_files("libero_goal").paths[8].read_text()
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / name
        path.write_text(text)
        return path

    return rewritten


def _quietly(load, *arguments, **options):
    """What `load` gives, and what it says."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = load(*arguments, **options)
    return found, [str(warning.message) for warning in caught]


def test_libero_s_own_suites_say_nothing():
    suite, said = _quietly(tasks.suite, "libero_spatial", prompt="as_published")
    assert not said and suite.tasks[0].instruction.startswith("pick up the black bowl")
    assert suite.tasks[0].base_name == suite.tasks[0].name


@pytest.mark.parametrize("prompt, instruction, words", [
    ("clean", "lower it", "instruction is the :language"),
    ("as_published", "put the bowl on the plate light 7", "instruction is the name"),
    ("file_name", "put the bowl on the plate", "instruction is the name"),
])  # fmt: skip
def test_a_prompt_chooses_between_language_and_name(write, prompt, instruction, words):
    path = write(f"{PLATE}_light_7.bddl", ("Put the bowl on the plate", "Lower it"))
    suite, said = _quietly(tasks.suite, path, prompt=prompt)
    assert suite.tasks[0].instruction == instruction and suite.prompt == prompt
    assert len(said) == 1 and words in said[0] and "lower it" in said[0]


def test_a_folder_says_each_thing_once(write):
    for number in range(5):
        write(f"{PLATE}_language_{number}.bddl", ("Put the bowl", f"Lower {number}"))
    path = write("silent.bddl", ("(:language Put the bowl on the plate)", ""))
    suite, said = _quietly(tasks.suite, path.parent)
    assert [task.instruction for task in suite.tasks] == [
        *(f"lower {number} on the plate" for number in range(5)), "silent"
    ]  # fmt: skip
    assert [task.variant.language for task in suite.tasks] == [*range(5), None]
    assert len(said) == 2
    assert "1 file" in said[0] and "without :language" in said[0]
    assert "5 files" in said[1] and "differ" in said[1]
    assert _quietly(tasks.suite, path.parent)[1] == []  # of the same files


def test_an_equal_name_is_not_worth_a_word(write):
    assert _quietly(tasks.suite, write(f"{PLATE}.bddl"))[1] == []


def test_a_language_model_s_introduction_is_named(write):
    path = write(f"{PLATE}_language_36.bddl", (
        "Put the bowl on the plate", "Here are 20 variations of the given instruction"
    ))  # fmt: skip
    assert any("language_36" in one for one in _quietly(tasks.read_task, path)[1])


def test_camera_variants_are_read_from_files(write):
    path = write(f"{PLATE}_language_3.bddl", ("Put the bowl", "Lower it"))
    view = path.with_name(f"{path.stem}_view_15_0_100_2_352_initstate_7_noise_12.bddl")
    for task in (tasks.read_task(view), tasks.suite(str(view)).tasks[0]):
        assert task.instruction == "lower it on the plate"
        assert (task.name, task.base_name) == (view.stem, PLATE)
        assert task.variant.view == (15, 0, 100, 2, 352)
        assert (task.variant.initstate, task.variant.noise) == (7, 12)
    absent = path.with_name("x_view_0_0_100_0_0_initstate_0.bddl")
    with pytest.raises(ValueError, match="no such file, nor x.bddl"):
        tasks.suite(absent)


def test_a_changed_file_is_read_again(write):
    first = tasks.suite(write("a.bddl"))
    again = tasks.suite(write("a.bddl", ("Put the bowl", "Lower it")))
    assert first.tasks[0].instruction == "put the bowl on the plate"
    assert again.tasks[0].instruction == "lower it on the plate"


def test_time_limits(write):
    name = "KITCHEN_SCENE5_put_the_black_bowl_on_the_plate"  # one of LIBERO-90's
    assert tasks.suite(write("a.bddl")).horizon == tasks.USER_HORIZON == 600
    assert tasks.suite(write(f"{name}.bddl")).horizon == 400
    assert tasks.suite(write("a.bddl"), horizon=50).horizon == 50
    assert tasks.suite("libero_goal", horizon=50).horizon == 50
    assert tasks.suite("libero_goal").horizon == 300
    for wrong in (0, -1, 1.5, "9", True):
        with pytest.raises(ValueError, match=f"horizon {wrong!r}: it takes"):
            tasks.suite("libero_goal", horizon=wrong)  # type: ignore[arg-type]


def test_an_unknown_prompt_lists_the_known():
    with pytest.raises(ValueError, match="'dirty': choose clean, as_published"):
        tasks.suite("libero_goal", prompt="dirty")


def test_a_user_s_categories_are_used(write):
    path = write("a.bddl", ("- plate", "- green_plate"), ("- wine_bottle", "- post"))
    with pytest.raises(ValueError, match="'post'.*category_variants.json.*categories"):
        tasks.suite(path)
    table = {
        "green_plate": {"base": "plate", "colour": "#00aa00"},
        "post": {"base": "wine_bottle", "fixed": True},
    }
    task = tasks.suite(path, categories=table).tasks[0]
    assert "green_plate" in [start.category for start in task.objects]
    assert "wine_bottle_1" in [start.name for start in task.fixtures]


def test_libero_90_objects_have_no_stand_ins(write):
    change = ("- akita_black_bowl", "- white_bowl")
    task, said = _quietly(tasks.read_task, write(f"{PLATE}.bddl", change))
    assert task.objects[0].category == "white_bowl"
    assert not any("stand-ins" in text for text in said)
