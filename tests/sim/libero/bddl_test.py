"""Tests of sim.libero.bddl: a hand-written file, and where its errors point."""

import pytest

from omnivla_jax.sim.libero import bddl

TEXT = """(define (problem LIBERO_Tabletop_Manipulation)
  (:domain robosuite)
  (:language Move the cup)
  (:regions
    (cup_region (:target main_table) (:ranges ((-0.1 0.0 0.1 0.2) (0 0 1 1)))
      (:yaw_rotation ((0.5 0.6))))
    (top_side (:target shelf_1)))  ; a site of the shelf
  (:fixtures main_table - table
    shelf_1 - shelf)
  (:objects cup_1 cup_2 - cup
    ball_1 - ball
    cup_3 - cup)
  (:obj_of_interest cup_1)
  (:init (On cup_1 main_table_cup_region) (Open shelf_1))
  (:goal (And (On cup_1 shelf_1_top_side) (Close shelf_1)))
)
"""
GOAL = "(And (On cup_1 shelf_1_top_side) (Close shelf_1))"


def test_every_section_of_a_worked_file():
    problem = bddl.parse(TEXT, "cup.bddl")
    assert problem.problem == "libero_tabletop_manipulation"
    assert problem.language == "move the cup"
    cup = problem.regions["main_table_cup_region"]
    assert cup.target == "main_table" and cup.yaw == (0.5, 0.6)
    assert cup.ranges == ((-0.1, 0.0, 0.1, 0.2), (0.0, 0.0, 1.0, 1.0))
    assert problem.regions["shelf_1_top_side"].ranges == ()
    assert problem.regions["shelf_1_top_side"].line == 7
    assert problem.fixtures == {"main_table": "table", "shelf_1": "shelf"}
    # LIBERO groups instances by category, and qpos follows.
    assert list(problem.objects) == ["cup_1", "cup_2", "cup_3", "ball_1"]
    assert [row[:3] for row in problem.init] == [
        ("on", "cup_1", "main_table_cup_region"),
        ("open", "shelf_1", ""),
    ]
    assert [(row.predicate, row.line) for row in problem.goal] == [
        ("on", 15),
        ("close", 15),
    ]
    assert problem.lines == {
        "libero_tabletop_manipulation": 1,
        "main_table": 8,
        "shelf_1": 9,
        "cup_1": 10,
        "cup_2": 10,
        "cup_3": 12,
        "ball_1": 11,
    }


def test_a_goal_needs_no_and():
    text = TEXT.replace(GOAL, "(Up cup_1)")
    assert bddl.parse(text, "cup.bddl").goal[0][:3] == ("up", "cup_1", "")


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("(Open shelf_1)", "(Stacked shelf_1)", r"14.*'stacked'.*turnon"),
        ("(Open shelf_1)", "(Open shelf_1 cup_1)", r"14.*takes 1 names"),
        ("(Open shelf_1)", "Open", r"14.*expected '\(\.\.\.\)'"),
        ("(Open shelf_1))", "(Open shelf_1)", r"\d+: .*not closed"),
        ("(:goal", ") (:goal", r"\d+: .*(too many|expected one)"),
        ("0.0 0.1 0.2)", "0.0 0.1)", r"5.*expected 4 numbers, got '-0.1 0.0 0.1'"),
        ("(:goal", "(:gaol", r"1: no '\(:goal"),
        ("((-0.1 0.0 0.1 0.2) (0 0 1 1))", "(0.5 1)", r"5.*4 numbers, got '0.5'"),
        ("(:target shelf_1)", "(:target)", r"7.*':target' takes one name, got 0"),
        ("- shelf)", "-)", r"9.*no category"),
        (GOAL, "(And )", r"15: :goal asks for nothing: it takes on, in, open"),
        (GOAL, "", r"15: :goal asks for nothing"),
        ("-0.1 0.0 0.1 0.2", "nan 0 0 0", r"5: 'nan' is no finite number"),
        ("0 0 1 1", "0 0 -inf 1", r"5: '-inf' is no finite number"),
        ("0 0 1 1", "0 0 1e400 1", r"5: '1e400' is no finite number"),
        ("0 0 1 1", "1 0 0 1", r"5: an inverted range '1 0 0 1': it takes x0 y0"),
        ("0 0 1 1", "0 1 1 0.5", r"5: an inverted range"),
        ("0.5 0.6", "0.6 0.5", r"6: an inverted range '0.6 0.5': it takes low high"),
        ("0.5 0.6", "0.5 nan", r"6: 'nan' is no finite number"),
        ("((-0.1 0.0 0.1 0.2) (0 0 1 1))", "()", r"5: :ranges takes one list"),
        ("((-0.1 0.0 0.1 0.2) (0 0 1 1))", "(())", r"5: expected 4 numbers, got ''"),
        ("((-0.1 0.0 0.1 0.2) (0 0 1 1))", "", r"5: :ranges takes one list"),
        ("((-0.1 0.0 0.1 0.2) (0 0 1 1))", "((0 0 1 1)) ((0 0 1 1))", r"5: :ranges"),
        ("(top_side ", "(cup_region (:target main_table)) (top_side ",
         r"7: a second region 'cup_region' of 'main_table': the first is in line 5"),
        ("cup_1 cup_2 -", "cup_1 cup_1 -", r"10: a second 'cup_1': .* in line 10"),
        ("cup_3 - cup)", "cup_2 - bowl)", r"12: a second 'cup_2': .* in line 10"),
        ("cup_3 - cup)", "cup_3)", r"12: no '- category' after 'cup_3'"),
        ("cup_3 - cup)", "shelf_1 - cup)", r"12: 'shelf_1' is an object and a fixture"),
        ("(:goal", "(:goal (Up cup_1))\n(:goal",
         r"16: a second '\(:goal ...\)': the first is in line 15"),
        (TEXT, "\n; nothing but a comment", r"1: expected one '\(define ...\)'"),
    ],
)  # fmt: skip
def test_errors_name_file_line_and_remedy(old, new, message):
    assert old in TEXT
    with pytest.raises(bddl.BddlError, match=rf"^cup\.bddl:{message}"):
        bddl.parse(TEXT.replace(old, new), "cup.bddl")


@pytest.mark.parametrize("text, language", [
    ("(:language Put  the\tBowl down)", "put the bowl down"),
    ("(:language put\n the bowl\n  down)", "put the bowl down"),
    ('(:language "Put it down, there.")', "put it down, there."),
    ('(:language the "big" bowl on the "cup")', 'the "big" bowl on the "cup"'),
    ("(:language task: don't drop it!)", "task: don't drop it!"),
    ("(:language put it down; then rest)", "put it down; then rest"),
    ("(:language put it down) ; was (:language lift it)", "put it down"),
    ("(:language put it ; a comment\n down)", "put it down"),
    ("; (:language lift it)\n(:language put it down)", "put it down"),
    ("(:language put it (gently) down)", "put it (gently) down"),
    ("(:language)", ""),
    ('(:language "")', ""),
    ("", ""),
])  # fmt: skip
def test_what_language_says(text, language):
    text = TEXT.replace("(:language Move the cup)", text)
    assert bddl.parse(text, "cup.bddl").language == language


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_as_on_every_system(end):
    text = TEXT.replace("\n", end).replace("  ", "\t")
    assert bddl.parse(text, "cup.bddl") == bddl.parse(TEXT, "cup.bddl")


def test_points_are_regions():
    text = TEXT.replace("(0 0 1 1)", "(0.3 0 0.3 0)")
    ranges = bddl.parse(text, "cup.bddl").regions["main_table_cup_region"].ranges
    assert ranges[1] == (0.3, 0.0, 0.3, 0.0)


def test_a_file_that_is_none_is_named(tmp_path):
    path = tmp_path / "cup.bddl"
    path.write_bytes(b"")
    with pytest.raises(bddl.BddlError, match=rf"^{path}: an empty file"):
        bddl.read(path)
    path.write_bytes(TEXT.encode("utf-16"))
    assert bddl.read(path).problem == "libero_tabletop_manipulation"
