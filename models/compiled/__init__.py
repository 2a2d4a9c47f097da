"""Trees as machine code: made once at a promotion, used where they fit the model.

Reads a version's files; writes `p_open/compiled/VERSION/` of the registry. Enter by `keep_compiled` at a
promotion, `compiled_files` where a job loads a model, and `CompiledTrees.of` in the scorer (trees.py). Needs
the optional extra `compiled` (lleaves); without it, or where the code does not fit, LightGBM scores.
"""

from models.compiled.trees import CompiledTrees, compile_trees, compiled_files, keep_compiled

__all__ = ["CompiledTrees", "compile_trees", "compiled_files", "keep_compiled"]
