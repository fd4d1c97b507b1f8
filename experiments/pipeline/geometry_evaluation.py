"""Measures what stage I learned on held-out scenes, and writes a page to look at.

Each of the stage's suites is judged under the nominal camera, under each kind of
LIBERO-Plus' camera shifts, and with everything varied as in training. Where training
leaves out a part of all cameras, lights and materials, that part is judged.
"""

from typing import Any, Iterator

import jax
import numpy as np

from experiments.pipeline import spatial_stage
from experiments.pipeline.run_context import RunContext
from experiments.reporting import geometry_page, progress
from omnivla_jax.core import compile as compilation
from omnivla_jax.train import rng, spatial
from omnivla_jax.train.state import TrainState
from omnivla_jax.world.perturbations import camera
from omnivla_jax.world.random_scenes import SceneRanges

PHASE = "geometry"
SHOWN = 4  # scenes of each suite on the page
BATCH = 32  # scenes that are judged together


def run(context: RunContext, state: TrainState) -> None:
    """Judge the geometry that a policy predicts; done once in a run.

    Args:
      context: of the run.
      state: of stage I, with its decoder.
    """
    if context.workdir.result(PHASE) is not None:
        return progress.note("Geometry", "evaluated already")
    if jax.process_count() > 1:  # scenes are drawn on one process's devices
        return progress.note("Geometry", "not evaluated by several processes")
    config = context.config.spatial
    evaluate = spatial.make_evaluate(config.training, context.config.policy)
    variants = camera_variants(config.ranges)
    batches = -(-config.evaluation_scenes // BATCH)
    split = "held_out" if config.split == "training" else config.split
    summary: dict[str, Any] = {
        "scenes": config.evaluation_scenes,
        "split": split,
        "suites": {},
    }
    examples: dict[str, geometry_page.GeometryExample] = {}
    with (
        context.workdir.timer(PHASE),
        progress.phase(
            "Geometry", total=len(config.suites) * len(variants), unit="set"
        ) as bar,
    ):
        for suite, draw in spatial_stage.draw_functions(context, split):
            with bar.compiling():
                compiled = compilation.jit(draw)
            rows = summary["suites"][suite] = {}
            for variant, ranges in variants.items():
                errors: dict[str, list[np.ndarray]] = {}
                for keys in _held_out_keys(context, batches):
                    batch = compiled(keys, ranges)
                    judged, aligned = evaluate(state.params, batch)
                    for name, values in judged.items():
                        errors.setdefault(name, []).append(np.asarray(values))
                rows[variant] = {
                    name: float(np.nanmean(np.concatenate(parts)[: summary["scenes"]]))
                    for name, parts in errors.items()
                }
                bar.advance(1, depth=rows[variant]["abs_rel"])
            # Of the last variant, everything that training varies.
            shown = geometry_page.GeometryExample(
                batch.observation.images, aligned.true, aligned.predicted, batch.valid
            )
            examples[suite] = jax.tree.map(lambda x: np.asarray(x[:SHOWN]), shown)
        geometry_page.write(context.workdir.path / "geometry.html", summary, examples)
    return context.workdir.save_result(PHASE, summary)


def camera_variants(ranges: SceneRanges) -> dict[str, SceneRanges]:
    """Scenes under the nominal camera, each kind of camera shift, and as in training.

    Args:
      ranges: of training.

    Returns:
      Ranges by name, whose values are arrays, so that one program draws them all.
    """
    plain = ranges._replace(
        camera_severity=0.0,
        light_severity=0.0,
        material_severity=0.0,
        nominal_share=0.0,
    )
    variants = {"nominal": plain}
    for row, kind in enumerate(camera.KINDS):
        kinds = tuple(float(row == other) for other in range(len(camera.KINDS)))
        variants[kind] = plain._replace(camera_severity=1.0, camera_kinds=kinds)
    variants["all varied"] = ranges
    return {
        name: jax.tree.map(np.float32, variant) for name, variant in variants.items()
    }


def _held_out_keys(context: RunContext, batches: int) -> Iterator[jax.Array]:
    key = rng.named_key(context.config.seed, "held_out_scenes")
    for number in range(batches):
        yield jax.random.split(jax.random.fold_in(key, number), BATCH)
