"""The documentation as a site: `make docs` builds it into docs/_build/html, offline and without a warning."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from rlbench import __version__

# what scikit-learn adds to every estimator
METHODS = ("fit", "inverse_transform", "partial_fit", "predict", "predict_proba", "score", "transform")

project = "rlbench"
copyright = "rlbench, MIT licence"
release = version = __version__

extensions = [
    "myst_nb",  # Markdown, and notebooks that are executed while the site is built
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_click",
    "docstrings",
    "registries",
    "repository",
]
exclude_patterns = ["_build", "gallery/notebooks", "images"]
suppress_warnings = ["ref.python"]  # an attribute of one class is named like another's
nitpicky = False

myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence", "deflist"]
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300

napoleon_use_ivar = True
napoleon_attr_annotations = False
autodoc_default_options = {"exclude-members": ", ".join(f"set_{method}_request" for method in METHODS)}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100
add_module_names = False

copybutton_prompt_text = r"\$ |>>> "  # what is printed below a command is not copied
copybutton_prompt_is_regexp = True
copybutton_only_copy_prompt_lines = True

html_theme = "furo"
html_title = "rlbench"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}
smartquotes = False  # an option begins with two hyphens
