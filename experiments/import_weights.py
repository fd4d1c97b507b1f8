"""Imports public weights as parameters of a policy.

    python -m experiments.import_weights --from=paligemma-npz,hf-vggt
        --path=pt_224.npz,VGGT-1B --out=weights [--preset=full] [--nospatial] [--seed=0]
    python -m experiments.import_weights --from=pi05_libero --path=FOLDER --nospatial
        --out=weights [--tokenizer=FILE] [--norm_stats=FILE]

Sources and paths come in pairs; parameters that no source covers keep their initial
value. A source is a format, or the name of a published checkpoint: imported alone, that
is a policy which `policy.inference` loads from the folder. `--out` gets the parameters
and weights.json; `experiments.train` starts from them under
`--config.policy.weights=weights`.
"""

from pathlib import Path

from absl import flags, logging

from experiments.pipeline import imported_weights
from experiments.reporting import errors, progress
from omnivla_jax.core import checkpoint_files
from omnivla_jax.core import compile as compilation
from omnivla_jax.policy.pretrained.formats import FORMATS
from omnivla_jax.policy.pretrained.published import NAMES

_FROM = flags.DEFINE_list(
    "from", None, f"Sources: {', '.join((*FORMATS, *NAMES))}.", required=True
)
_PATH = flags.DEFINE_list("path", None, "Files or folders, in order.", required=True)
_OUT = flags.DEFINE_string("out", None, "Folder to write to.", required=True)
_PRESET = flags.DEFINE_string("preset", "full", "The policy to fill.")
_SPATIAL = flags.DEFINE_boolean("spatial", True, "With the spatial expert.")
_TOKENIZER = flags.DEFINE_string(
    "tokenizer", None, "Of a published checkpoint; else the one in its folder."
)
_NORM_STATS = flags.DEFINE_string(
    "norm_stats", None, "Its norm_stats.json; else the one in its folder."
)
_SEED = flags.DEFINE_integer("seed", 0, "Of initial values.")


def main(argv: list[str]) -> None:
    """Load, report the parameters that keep their initial values, save."""
    if argv[1:]:
        raise flags.Error(f"unknown argument {argv[1]!r}")
    if len(_FROM.value) != len(_PATH.value):
        raise flags.Error(f"--from={_FROM.value} and --path={_PATH.value} do not pair")
    logging.set_verbosity(logging.ERROR)
    compilation.enable_cache()
    out = Path(_OUT.value).expanduser()
    _require_free(out)
    metadata = imported_weights.WeightsMetadata(
        preset=_PRESET.value,
        spatial=_SPATIAL.value,
        sources=tuple(zip(_FROM.value, _PATH.value)),
        config_updates={},
    )
    loaded = imported_weights.import_files(
        out,
        metadata,
        seed=_SEED.value,
        tokenizer=_TOKENIZER.value,
        stats=Path(_NORM_STATS.value) if _NORM_STATS.value else None,
    )
    for name in loaded.missing_initialized:
        progress.note("Initial", name)
    progress.note(
        "Stored", f"{out}, {len(loaded.missing_initialized)} arrays at initial values"
    )


def _require_free(out: Path) -> None:
    """Refuse a folder that holds more than the files of an interrupted import."""
    if not out.exists():
        return
    if out.is_dir():
        names = {entry.name for entry in out.iterdir()}
        unfinished = checkpoint_files.UNFINISHED
        rest = {name for name in names if not unfinished.fullmatch(name)}
        if not rest:
            return
        if rest == {imported_weights.METADATA} and imported_weights.has_metadata(out):
            return
    raise flags.Error(f"--out={out} is taken: name a new folder")


if __name__ == "__main__":
    errors.run(main)
