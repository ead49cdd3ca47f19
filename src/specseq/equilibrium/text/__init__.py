"""Text to train on: where it comes from, how it becomes tokens, and how it is kept."""
