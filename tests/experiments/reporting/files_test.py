"""Tests of experiments.reporting.files: an old file survives a failed write."""

import pytest

from experiments.reporting.files import replacing


def test_success_replaces_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "made" / "report.html"
    for content in ("old", "new"):
        with replacing(path) as temporary:
            assert temporary.suffix == ".html"
            temporary.write_text(content)
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_failure_keeps_the_old_file(tmp_path, error):
    path = tmp_path / "report.html"
    path.write_text("old")
    with pytest.raises(error), replacing(path) as temporary:
        temporary.write_text("half of the n")
        raise error
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
