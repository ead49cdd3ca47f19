"""The four studies: what each trains, tabulates and draws."""
