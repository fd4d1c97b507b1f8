"""The main job by one command: demonstrations, flow matching, Flow-GSPO, report.

python -m experiments.quickstart --workdir=runs/quickstart [--resume]
    [--config=experiments/configs/quickstart.py] [--config.rl.group_size=16]
    [--data=4 --fsdp=2]

It is `experiments.train` with its default config, and takes the same flags.
"""

from absl import flags

from experiments import train
from experiments.reporting import errors

flags.adopt_module_key_flags(train)  # for --help

if __name__ == "__main__":
    errors.run(train.main)
