"""Registers our envs when Gymnasium is imported, because Gymnasium has loaded no plug-ins since 1.0.

Registering at once would be simpler, but then `import rlbench` takes 0.46 s of CPU instead of 0.07, and
`rlbench --help` 0.46 instead of 0.16.
"""

from __future__ import annotations

import sys
import time
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

IMPORTED = time.time()  # a source changed since may differ from the code that was imported
OURS = "rlbench.envs"  # registers our envs when it is imported


def register_with_gymnasium() -> None:
    """Registers our envs now if Gymnasium has been imported, else as soon as it is."""
    if "gymnasium" in sys.modules:
        import_module(OURS)
    else:
        sys.meta_path.insert(0, _GymnasiumWatcher())


class _GymnasiumWatcher:
    """A finder on sys.meta_path: waits for `import gymnasium` to finish, then registers our envs."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:  # noqa: ARG002
        if fullname != "gymnasium":
            return None
        sys.meta_path.remove(self)
        spec = find_spec(fullname)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_register(module: Any) -> None:
                execute(module)
                import_module(OURS)

            spec.loader.exec_module = execute_and_register  # type: ignore[method-assign]
        return spec
