"""Recipes that made what the package ships."""
