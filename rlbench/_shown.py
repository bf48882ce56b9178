"""The classes that display themselves in notebooks, and what draws them: one table, so that no room imports upwards."""

from __future__ import annotations

from importlib import import_module

DRAWERS = {
    "Episode": "rlbench.viewer.notebook:episode_html",
    "Run": "rlbench.reports.page:run_html",
    "Study": "rlbench.studies.shown:study_html",
}


class Shown:
    """Displays itself as HTML in a notebook."""

    def _repr_html_(self) -> str:
        name = next(cls.__name__ for cls in type(self).__mro__ if cls.__name__ in DRAWERS)
        module, _, function = DRAWERS[name].partition(":")
        html: str = getattr(import_module(module), function)(self)
        return html
