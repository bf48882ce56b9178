"""Pages of benchmarks/ are part of the site, by a link in docs/: what leads to them in the repository does so here."""

import re

LINK = re.compile(r"\[([^\]]+)\]\(\.\./benchmarks/(\w+)\.md\)")


def lead_to_site(_app, _page, source):
    """Turns links to pages of benchmarks/ into links to the pages of the site."""
    source[0] = LINK.sub(r"{doc}`\1 </benchmarks/\2>`", source[0])


def setup(app):
    """Reads every page through `lead_to_site`."""
    app.connect("source-read", lead_to_site)
    return {"parallel_read_safe": True}
