"""What an experiment is: the sections of a recipe, their checks, how a recipe is read, where its paths lead."""
