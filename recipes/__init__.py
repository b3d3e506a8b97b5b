"""Recipes: one YAML file is one experiment. The folder is a package so that an installed wheel has the files too."""
