"""The real LIBERO, which has pins of its own, as an environment of another process."""
