"""Pages of the repository outside docs/ are part of the site, by links in docs/: links that lead to them do so here."""

import re

LINKS = {
    re.compile(r"\[([^\]]+)\]\((?:\.\./)+benchmarks/(\w+)\.md\)"): r"{doc}`\1 </benchmarks/\2>`",
    re.compile(r"\[([^\]]+)\]\((?:\.\./)+CONTRIBUTING\.md\)"): r"{doc}`\1 </concepts/contributing>`",
}


def lead_to_site(_app, _page, source):
    """Turns links to these pages into links to the pages of the site."""
    for link, ours in LINKS.items():
        source[0] = link.sub(ours, source[0])


def setup(app):
    """Reads every page through `lead_to_site`."""
    app.connect("source-read", lead_to_site)
    return {"parallel_read_safe": True}
