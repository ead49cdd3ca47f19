"""Training: the loop, optimiser, schedules, checkpoints and everything that makes a run resumable."""
