"""Tests of omnivla_jax.core.compile: options that exist, where programs are kept."""

import os
from pathlib import Path

import pytest

from omnivla_jax.core import compile as compilation


def test_a_checkout_keeps_its_own_cache():
    root = Path(__file__).parents[2]
    assert compilation.cache_folder() == root / ".cache" / "jax"


def test_an_installed_package_uses_the_user_s_folder(tmp_path, monkeypatch):
    package = tmp_path / "site-packages" / "omnivla_jax"
    package.mkdir(parents=True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    wanted = tmp_path / "xdg" / "omnivla_jax" / "jax"
    assert compilation.cache_folder(package) == wanted
    for ignored in ("relative", ""):
        monkeypatch.setenv("XDG_CACHE_HOME", ignored)
        monkeypatch.setenv("HOME", str(tmp_path))
        wanted = tmp_path / ".cache" / "omnivla_jax" / "jax"
        assert compilation.cache_folder(package) == wanted


def test_an_unwritable_checkout_is_left_alone(tmp_path, monkeypatch):
    (tmp_path / "setup.cfg").touch()
    package = tmp_path / "omnivla_jax"
    assert compilation.cache_folder(package) == tmp_path / ".cache" / "jax"
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write all
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    wanted = tmp_path / "xdg" / "omnivla_jax" / "jax"
    assert compilation.cache_folder(package) == wanted


def test_an_impossible_default_is_no_error(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    taken = tmp_path / "file" / "jax"
    monkeypatch.setattr(compilation, "cache_folder", lambda: taken)
    with pytest.warns(UserWarning, match="will not be kept"):
        compilation.enable_cache()
    with pytest.raises(OSError):  # asked for by name, it is one
        compilation.enable_cache(taken)


def test_options_that_the_compiler_lacks_are_left_out(monkeypatch):
    assert all(map(compilation.is_known, compilation.CPU_OPTIONS))
    assert not compilation.is_known("xla_cpu_use_no_such_thing")
    monkeypatch.setattr(compilation, "FUSION_EMITTERS", "xla_cpu_use_no_such_thing")
    options = compilation.compiler_options(fused=False)
    assert options == compilation.CPU_OPTIONS | compilation.NO_FUSION
    monkeypatch.setattr(compilation, "NO_FUSION", {"xla_disable_no_such_thing": "a"})
    with pytest.warns(UserWarning, match="fusion emitters.*mujoco"):
        options = compilation.compiler_options(fused=False)
    assert options == compilation.CPU_OPTIONS
    assert compilation.jit(lambda x: x + 1, fused=True)(1) == 2


def test_cores_are_those_that_the_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {2, 5, 7})
    assert compilation.cpu_cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    assert compilation.cpu_cores() == os.cpu_count()
