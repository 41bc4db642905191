"""Put a mutant in place of a module: with this folder in PYTHONPATH, in every process of a test.

FIBERLAB_MUTANT is the module's name and the file of its mutated source. The file of the module
stays as it is, so that what a lesson shows of it does not give the mutant away.
"""

import importlib.machinery
import os
import sys


class _MutantLoader(importlib.machinery.SourceFileLoader):
    def get_code(self, fullname):
        with open(SOURCE, encoding="utf-8") as file:
            return compile(file.read(), self.path, "exec", dont_inherit=True)


class _MutantFinder:
    @staticmethod
    def find_spec(fullname, path, target=None):
        if fullname != MODULE:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        spec.loader = _MutantLoader(fullname, spec.origin)
        return spec


MODULE, _, SOURCE = os.environ.get("FIBERLAB_MUTANT", "").partition("=")
if MODULE:
    sys.meta_path.insert(0, _MutantFinder)
