"""The web (extra `serve`): the dashboard over a store, and what serves policies and models."""

from rlbench.files import check_installed

for _package in ("starlette", "uvicorn", "jinja2", "prometheus_client"):
    check_installed(_package, "serve", "what runs in a browser")
