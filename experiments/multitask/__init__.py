"""Two tasks: will they watch it, and how will they rate it?"""
