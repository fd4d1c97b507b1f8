"""Tests of benchmarks.cores: which numbers of cores, on which cores, what is gained."""

import json
import os

import pytest
from absl import flags
from absl.testing import flagsaver

from experiments.benchmarks import cores


@pytest.fixture(autouse=True)
def parsed():
    flags.FLAGS.mark_as_parsed()


@pytest.mark.parametrize(
    "available, expected", [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])]
)
def test_powers_of_two_and_all(available, expected):
    assert cores.numbers_of_cores(available) == expected


def test_gains_are_over_the_fewest_cores():
    assert cores.gains({1: 10.0, 2: 19.0, 4: 35.0}) == {"1": 1.0, "2": 1.9, "4": 3.5}


def test_each_number_of_cores_is_measured(monkeypatch, capsys):
    own = sorted(os.sched_getaffinity(0))
    seen = []

    def measure(benchmark, ids, arguments):
        assert arguments == ["--suite=libero_10"]
        seen.append((benchmark, list(ids)))
        return {cores.RATES[benchmark]: 5.0 * len(ids)}

    monkeypatch.setattr(cores, "measure", measure)
    with flagsaver.flagsaver(cores=["1", str(len(own))]):
        cores.main(["", "--suite=libero_10"])
    report = json.loads(capsys.readouterr().out)
    for benchmark, rate in cores.RATES.items():
        assert [ids for name, ids in seen if name == benchmark][-1] == own
        assert report[benchmark]["gain"][str(len(own))] == len(own)
        assert report[benchmark][rate]["1"] == 5.0


def test_cores_that_are_not_there_are_refused():
    with flagsaver.flagsaver(cores=["4096"]), pytest.raises(Exception, match="may use"):
        cores.main([""])
