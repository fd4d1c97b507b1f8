"""Demonstrations to disk: a writer by name for each layout.

    WRITERS["lerobot"].write(directory, episodes, name="libero_goal")

`base.Writer` says what a writer is: a record of functions. Each puts a dataset into a
folder below `directory`, one demonstration at a time, whole or not at all. A new layout
is a module and a line here.
"""

from typing import Mapping

from data_pipelines.writers import lerobot, libero_hdf5, rlds
from data_pipelines.writers.base import Writer

WRITERS: Mapping[str, Writer] = {
    "rlds": rlds.TFRECORD,
    "rlds_array_record": rlds.ARRAY_RECORD,
    "lerobot": lerobot.V21,
    "lerobot_v30": lerobot.V30,
    "hdf5": libero_hdf5.LIBERO,
    "hdf5_obs_before_action": libero_hdf5.OBS_BEFORE_ACTION,
}
