"""Tests of omnivla_jax.sim.bddl: a hand-written file, and where its errors point."""

import pytest

from omnivla_jax.sim import bddl

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
    ],
)
def test_errors_name_file_line_and_remedy(old, new, message):
    assert old in TEXT
    with pytest.raises(bddl.BddlError, match=rf"^cup\.bddl:{message}"):
        bddl.parse(TEXT.replace(old, new), "cup.bddl")
