"""The questions and exercises of the lessons, a module for each."""
