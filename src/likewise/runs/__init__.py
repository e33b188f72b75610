"""A run: from settings to a folder with an encoder, scores and a page, and what a finished run can do."""
