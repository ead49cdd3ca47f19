"""Training: loop, optimiser, schedules, checkpoints, and all that makes a run resumable."""
