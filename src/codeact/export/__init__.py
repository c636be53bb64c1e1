"""A trajectory as a file for people: a notebook that runs again, a Markdown document."""
