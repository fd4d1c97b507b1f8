"""The flag of the benchmarks that compare with recordings: which recordings."""

from pathlib import Path

from absl import flags

_FOLDER = flags.DEFINE_string(
    "folder", "", "Folder of recordings; empty: the committed ones."
)


def chosen(committed: Path) -> Path:
    """The folder of --folder, else `committed`.

    Raises:
      ValueError: there is no such folder.
    """
    if not _FOLDER.value:
        return committed
    folder = Path(_FOLDER.value).expanduser()
    if not folder.is_dir():
        raise ValueError(f"--folder={folder} is no folder: name one of recordings.")
    return folder
