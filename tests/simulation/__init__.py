"""A deterministic simulation of the core: the real actors, without threads, servers or real time."""
