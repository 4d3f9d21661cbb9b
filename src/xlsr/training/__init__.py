"""Training: recipes, tasks and the one loop. Floor 4; needs the extra `torch`."""
