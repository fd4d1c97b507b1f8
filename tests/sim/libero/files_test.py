"""Tests of omnivla_jax.sim.libero.files: state files as LIBERO writes them."""

import pickle
import zipfile

import numpy as np
import pytest

from omnivla_jax.sim.libero import files, state_files


def _write(path, value, member="archive/data.pkl"):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, pickle.dumps(value))
    return path


def test_a_state_file_is_read_without_torch(tmp_path):
    states = np.arange(12.0).reshape(3, 4)
    path = _write(tmp_path / "task.pruned_init", states)
    np.testing.assert_array_equal(state_files.read(path), states)


@pytest.mark.parametrize("value", [np.zeros(3), [1.0]])
def test_other_contents_are_an_error(tmp_path, value):
    with pytest.raises(ValueError, match="no table of states"):
        state_files.read(_write(tmp_path / "x.pruned_init", value))


class _Evil:
    def __reduce__(self):
        return (print, ("a state file ran code",))


def test_a_state_file_cannot_run_code(tmp_path, capsys):
    path = _write(tmp_path / "evil.pruned_init", _Evil())
    with pytest.raises(ValueError, match="print has no place"):
        state_files.read(path)
    assert "ran code" not in capsys.readouterr().out


def test_a_broken_file_is_one_line(tmp_path):
    path = tmp_path / "broken.pruned_init"
    path.write_bytes(b"not a zip file")
    with pytest.raises(ValueError, match="broken.pruned_init is no LIBERO"):
        state_files.read(path)
    with pytest.raises(ValueError, match="no LIBERO"):
        state_files.read(_write(tmp_path / "o.pruned_init", 1, "other"))


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """An `hf-libero` with one state file and no task files but one."""
    root = tmp_path / "libero" / "libero"
    for folder in ("bddl_files/libero_goal", "init_files/libero_goal"):
        (root / folder).mkdir(parents=True)
    (tmp_path / "libero" / "__init__.py").touch()
    task = files.suite_files("libero_goal").paths[7]
    (root / "bddl_files" / "libero_goal" / task.name).write_text(task.read_text())
    states = root / "init_files" / "libero_goal" / f"{task.stem}.pruned_init"
    _write(states, np.ones((50, 79)))
    monkeypatch.syspath_prepend(tmp_path)
    return root


def test_the_installed_package_comes_first(installed):
    assert files.libero_root() == installed
    path = files.suite_files("libero_goal").paths[7]
    assert path.is_relative_to(installed) and path.is_file()
    assert files.initial_states("libero_goal", path.stem).shape == (50, 79)


def test_missing_states_say_what_to_install(installed):
    with pytest.raises(FileNotFoundError, match="pip install --no-deps hf-libero"):
        files.initial_states("libero_goal", "no_such_task")
