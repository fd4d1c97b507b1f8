"""What an online step exchanges on four devices: `sharding_test.py` runs this apart."""

import dataclasses
import re

from omnivla_jax.core import sharding
from omnivla_jax.train import rng
from omnivla_jax.train import sharding as train_sharding
from tests.helpers import many_devices
from tests.train.online.step_test import POLICY, SETTINGS, fresh

CONFIG = dataclasses.replace(SETTINGS, groups=4, group_size=4, chunks=2, minibatches=2)
COLLECTIVE = re.compile(
    r" = (.*) (all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)"
    r"(?:-start)?\("
)


def main() -> None:
    """Compile, and read every collective of the program."""
    mesh = sharding.make_mesh(data=4)
    state, key = fresh(CONFIG), rng.named_key(0, "online")
    step = many_devices.make_step(mesh, CONFIG)
    placed = [train_sharding.shard(tree, mesh, POLICY) for tree in (state, key)]
    text = step.lower(*placed).compile().as_text() or ""
    found = [(match[2], match[1]) for match in COLLECTIVE.finditer(text)]
    assert found, "the gradients are summed"
    others = [collective for collective in found if collective[0] != "all-reduce"]
    assert not others, others


if __name__ == "__main__":
    main()
