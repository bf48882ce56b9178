"""Export runs to csv, json, parquet, hdf5 and Minari datasets, and import them again, exactly.

    from rlbench.exchange import export, import_run

    export(run, "run.hdf5")                       # the episodes
    export(run, "curve.csv", what="results")      # the learning curve
    export(run, "datasets/safecab-v0", "minari")  # a folder
    record = import_run("run.hdf5", store)

Each format's module documents its files: csv_files.py, json_files.py, ...
"""

from __future__ import annotations

from rlbench.exchange.manifest import WHATS
from rlbench.exchange.transfer import EXTENSIONS, FORMATS, Exported, check_source, export, import_run
from rlbench.store.records import IMPORTED

__all__ = ["EXTENSIONS", "FORMATS", "IMPORTED", "WHATS", "Exported", "check_source", "export", "import_run"]
