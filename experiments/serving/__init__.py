"""A policy server that openpi's clients talk to. Needs `pip install omnivla-rl[serve]`.

`codec` reads and writes the messages, `requests` turns one into an observation,
`batched_policy` runs several as one compiled call, `batcher` decides which ones, and
`server` holds the connections.
"""

try:
    import msgpack as _msgpack  # noqa: F401
    import websockets as _websockets  # noqa: F401
except ImportError as error:
    raise ImportError(
        f"The policy server needs {error.name}: pip install 'omnivla-rl[serve]'."
    ) from error
