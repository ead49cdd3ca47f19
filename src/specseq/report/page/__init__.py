"""The report page: one self-contained HTML file."""

from specseq.report.page.render import render_page
from specseq.report.sections import Section, load_sections

__all__ = ["Section", "load_sections", "render_page"]
