"""The command line: one module per command group.

Imported by `angelia.cli` and benchmarks only. Each module reads options, opens the lake and calls one
package; `loop` is `make run`, `bootstrap` the first night, `doctor` the check of a machine.
"""
