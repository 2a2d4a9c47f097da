"""Breakages of what is kept: people's data, the lake, imports, the catalog, DAGs."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_DISK = ("lake/test_durable.py",)

KEEPING = (
    # ---- people's data
    Mutant(
        "erasure leaves template values in manifests",
        'return "{}" if column == "fields" else',
        'return value if column == "fields" else',
        ("lake/erasing/test_rows.py",),
    ),
    Mutant(
        "a log's error line names a person",
        "return without_addresses(text.replace(user, hashed(user)) if user else text)",
        "return without_addresses(text)",
        ("test_logs.py",),
    ),
    Mutant(
        "the key of rejects is readable by all",
        "descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)",
        "descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)",
        ("importing/test_rejects.py",),
    ),
    # ---- the lake
    Mutant(
        "a damaged key is used",
        "if store.exists(key + _SEAL) and store.read(key + _SEAL) != _digest(data):",
        "if False:",
        ("lake/test_keys.py",),
    ),
    Mutant(
        "a lost key is made anew",
        "if not store.exists(key) and not store.exists(seal):",
        "if not store.exists(key):",
        ("lake/test_keys.py",),
    ),
    Mutant(
        "a job reads what came in after its gate",
        "return origin, [n for n in own if n <= int(number)]",
        "return origin, own",
        ("quality/test_judged.py",),
    ),
    Mutant(
        "a job reads what no gate has seen",
        "if self._came_since(name, leaf) and numbers:",
        "if False:",
        ("quality/test_judged.py",),
    ),
    Mutant(
        "a closed gate lets jobs go on",
        "verdicts, seen[gate] = load_with_seen(lake, gate, ds)\n        require_open(gate, ds, verdicts)",
        "verdicts, seen[gate] = load_with_seen(lake, gate, ds)",
        ("quality/test_judged.py",),
    ),
    Mutant(
        "caps count a plan that was never sent",
        'return served(lake, "decisions", (date.fromisoformat(ds) - timedelta(days=1)).isoformat())',
        'return lake.head("decisions", ds=(date.fromisoformat(ds) - timedelta(days=1)).isoformat())',
        ("planning/test_inputs.py",),
    ),
    Mutant(
        "create does not sync what it wrote",
        "temporary = self._write_temporary(key, data, durable=True)",
        "temporary = self._write_temporary(key, data, durable=False)",
        _DISK,
    ),
    Mutant(
        "create does not sync its folder",
        "try:\n            _sync_path(path.parent)",
        "try:\n            pass",
        _DISK,
    ),
    Mutant(
        "a new folder's name is not synced",
        "_sync_path(created.parent)",
        "pass",
        _DISK,
    ),
    Mutant(
        "an attempt's files are not synced",
        'self.lake.store.sync(path for path in paths if path.startswith(self.folder + "/"))',
        "pass",
        _DISK,
    ),
    Mutant(
        "an erased winner is adopted",
        "if winner.made_by == commit.made_by and not winner.erased:",
        "if winner.made_by == commit.made_by:",
        ("lake/test_attempt.py",),
    ),
    # ---- imports, catalog, DAGs
    Mutant(
        "a SQL literal is not quoted",
        """else "'" + value.replace("'", "''") + "'\"""",
        """else "'" + value + "'\"""",
        ("importing/test_addresses.py", "importing/test_import.py"),
    ),
    Mutant(
        "an imported file's name is not quoted",
        """return "'" + text.replace("'", "''") + "'\"""",
        """return "'" + text + "'\"""",
        ("importing/test_inputs.py",),
    ),
    Mutant(
        "the catalog's generation is ignored",
        "if generation is not None and generation != sum(row.version for row in rows):",
        "if False:",
        ("catalog/test_apply.py",),
    ),
    Mutant(
        "a task retries what an operator must put right",
        "if code == 2:",
        "if code == -2:",
        ("../dags/test_shared.py",),
    ),
    *(
        Mutant(
            f"a form's {title} may be any text",
            f'{lost}\n            title="{title}",',
            f'title="{title}",',
            ("../dags/test_forms.py",),
        )
        for lost, title in (
            ('format="date",', "First night"),
            ('format="date",', "Last night"),
            ('format="date",', "Last day"),
            ("pattern=NAME,", "Conversion"),
        )
    ),
)
