"""The lessons, a folder for each: what its notebook asks, runs, draws and judges.

A folder is called like its notebook, ``l07_blocking_pitfalls`` for 07_blocking_pitfalls.ipynb.
In it, as far as the lesson has them:

    question.py     QUESTIONS, and how a recording decides them
    experiment.py   what the notebook runs
    figures.py      what it draws
    exercises.py    EXERCISES, and what judges the answers

A folder's own ``__init__`` offers what its notebook imports. What several lessons use is in
``fiberlab.lab.shared``. No lesson imports another one.
"""
