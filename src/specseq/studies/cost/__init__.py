"""What a scale costs before anything is run: estimates of time, memory and disk by run and by sweep."""
