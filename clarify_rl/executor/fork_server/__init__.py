"""What runs beside the caller: the fork server, the layers that seal its children, and what happens inside them.

Standard library only, and of clarify_rl only what this package and the shared modules of executor (capabilities, codec,
limits, report) hold: less in the fork server makes its forks cheaper.
"""
