"""Carrying long computations: through submitit, on this machine or on SLURM, past kills and preemption.

Nothing here imports torch or pandas: hundreds of launchers may sleep on one login node.
"""
