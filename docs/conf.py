"""The documentation as a site: `make docs` builds it, without a network.  Sphinx reads these names."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "src"), str(HERE / "_ext")]

from chainrule.version import VERSION  # noqa: E402 - from this tree, installed or not

project = "chainrule"
author = "the chainrule developers"
copyright = f"2026, {author}"
release = version = VERSION

extensions = ["myst_parser", "docstrings", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_ext"]
root_doc = "index"
nitpicky = False
"""A type of NumPy's is not a page of this site."""

# --- pages: Markdown as it stands in the repository -------------------------------------------------------------

myst_heading_anchors = 3
suppress_warnings = ["myst.header"]

# --- the reference, from docstrings -----------------------------------------------------------------------------

default_role = "py:obj"
add_module_names = False
SHORT = ("Array", "ArrayLike", "Inputs", "Values", "Task", "GivenActivation", "GivenLoss", "ActivationName", "LossName")
SHORT += ("OptimizerName", "EngineName", "NotationName", "FormatName", "DTypeName")
autodoc_type_aliases = {name: name for name in SHORT}
"""Types that are shown by their names."""
toc_object_entries_show_parents = "hide"
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_use_rtype = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 90

# --- looks: fonts of the reader's system, nothing fetched -------------------------------------------------------

html_theme = "furo"
html_title = f"chainrule {VERSION}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
pygments_style = "friendly"
