"""Where RLDS datasets lie: DATA_DIR/NAME/VERSION, as tensorflow-datasets has them."""

import json
import re
from pathlib import Path

from data_pipelines.rlds_builder import (
    DESCRIPTION,
    FEATURES_FILE,
    FORMATS,
    INFO_FILE,
    RELEASE,
    SPLIT,
)

LEVELS = 3  # folders below a data_dir: name, perhaps a config, version
VERSION = re.compile(r"\d+\.\d+\.\d+")
SHARD = re.compile(rf"\w+-{SPLIT}\.({'|'.join(FORMATS)})-\d{{5}}-of-\d{{5}}")


def dataset_name(text: str) -> str:
    """A name that tfds takes, of a suite or of the path of a BDDL file."""
    stem = re.sub(r"\.bddl$", "", Path(text).name, flags=re.IGNORECASE)
    name = re.sub(r"[^a-z0-9_]+", "_", stem.lower()).strip("_")
    return name if re.match(r"[a-z]", name) else f"dataset_{name}".rstrip("_")


def resolve(path: Path, name: str | None = None) -> Path:
    """The version folder that `path` means.

    Args:
      path: the version folder itself, the folder of a name, or a data_dir.
      name: of the dataset in that data_dir; None: the only one.

    Returns:
      A folder with a dataset_info.json; of several versions the newest.

    Raises:
      FileNotFoundError: there is no dataset.
      ValueError: there are several.
    """
    path = Path(path).expanduser()
    if (path / INFO_FILE).exists():
        return path
    path = path if name is None else path / name
    folders = _newest(path)
    if not folders:
        raise FileNotFoundError(_absent(path))
    if len(folders) > 1:
        names = ", ".join(str(folder.relative_to(path).parent) for folder in folders)
        raise ValueError(f"{path} holds several datasets ({names}): name one of them.")
    return folders[0]


def check_writable(directory: Path, name: str) -> None:
    """Refuse what writing the dataset `name` into `directory` would overwrite.

    Raises FileExistsError where something lies there that this program did not write.
    """
    final = directory / name / RELEASE
    for folder in (directory, directory / name, final):
        if folder.exists() and not folder.is_dir():
            raise FileExistsError(f"{folder} is a file: choose another folder.")
    if (directory / INFO_FILE).exists() and not describes_ours(directory):
        raise FileExistsError(
            f"{directory} is itself a dataset, which this program did not write: "
            "choose another folder."
        )
    entries = list(final.iterdir()) if final.exists() else []
    is_ours = describes_ours(final) and set(entries) <= set(dataset_files(final))
    if entries and not is_ours:
        raise FileExistsError(
            f"{final} holds files that this program did not write: choose another "
            "folder."
        )


def dataset_files(folder: Path) -> list[Path]:
    """The files of a dataset: its two descriptions and its records."""
    named = (INFO_FILE, FEATURES_FILE)
    return [
        path
        for path in folder.iterdir()
        if path.is_file() and (path.name in named or SHARD.fullmatch(path.name))
    ]


def describes_ours(folder: Path) -> bool:
    """Whether the dataset_info.json of `folder` is of this program's writing."""
    try:
        info = json.loads((folder / INFO_FILE).read_text("utf-8"))
        return info["description"].startswith(DESCRIPTION.splitlines()[0])
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False


def _newest(path: Path) -> list[Path]:
    """The newest version of every dataset at or below `path`."""
    newest: dict[Path, Path] = {}
    for level in range(1, LEVELS + 1):
        for file in path.glob("/".join(["*"] * level) + f"/{INFO_FILE}"):
            folder = file.parent
            hidden = any(p.startswith(".") for p in folder.relative_to(path).parts)
            if hidden or not VERSION.fullmatch(folder.name):
                continue
            other = newest.setdefault(folder.parent, folder)
            newest[folder.parent] = max(
                other, folder, key=lambda f: tuple(map(int, f.name.split(".")))
            )
    return sorted(newest.values())


def _absent(path: Path) -> str:
    """The error message where no dataset was found."""
    if not path.exists():
        return f"No demonstrations in {path}: there is no such folder."
    if not path.is_dir():
        return f"No demonstrations in {path}: it is a file, name the folder it is in."
    shards = sorted(file.name for file in path.iterdir() if SHARD.search(file.name))
    if shards:
        return (
            f"No demonstrations in {path}: {shards[0]} is there, but no {INFO_FILE} "
            "beside it, without which its features are unknown."
        )
    return (
        f"No demonstrations in {path}: name the folder with {INFO_FILE}, or one at "
        "most three levels above it."
    )


def replace_folder(built: Path, final: Path, earlier: Path) -> None:
    """Move `built` to `final`, and what lay there to `earlier`, unless it fails.

    Raises:
      OSError: it cannot be moved; what lay at `final` lies there again.
    """
    if final.exists():
        final.rename(earlier)
    try:
        built.rename(final)
    except OSError:
        if earlier.exists():
            earlier.rename(final)
        raise
