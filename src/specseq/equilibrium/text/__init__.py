"""Text to train on: sources, tokenisation and storage."""
