"""Running long computations past kills and preemption, on this machine or through submitit on SLURM.

Nothing here imports torch or pandas: hundreds of launchers may sleep on one login node.
"""
