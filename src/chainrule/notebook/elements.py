"""The elements of a form, and how they look.

Colours are those of the page: text and lines take its own, and the few that carry a meaning stand out on light and on
dark ground alike.  So a form needs not know its theme.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from chainrule.report.markup import Html, tag


def table(header: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[int] = ()) -> Html:
    """A table that scrolls where it is too wide.  numbers: the columns that stand to the right."""

    def cells(kind: str, row: Sequence[str]) -> Html:
        return tag("tr", *(tag(kind, c, class_="number" if k in numbers else "text") for k, c in enumerate(row)))

    head = tag("thead", cells("th", header)) if any(header) else Html()
    body = tag("tbody", *(cells("td", row) for row in rows))
    return tag("div", tag("table", head, body), class_="scroll")


def page(title: str, *content: str) -> str:
    """A form with its looks, as the output of a cell.  Nothing in it is taken for LaTeX between dollar signs."""
    body = tag("div", tag("p", title, class_="title"), *content, class_="chainrule tex2jax_ignore mathjax_ignore")
    return f"<style>{STYLE}</style>{body}"


STYLE = """
.chainrule.chainrule { --line: color-mix(in srgb, currentColor 18%, transparent); --c0: #2f86c5; --c1: #d2691e;
  --good: #23915f; --bad: #d9463b; font-family: system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
  font-size: 14px; line-height: 1.45; max-width: 1000px; }
.chainrule.chainrule p { margin: 0 0 6px; }
.chainrule.chainrule .title { font-weight: 600; }
.chainrule.chainrule .says, .chainrule.chainrule .shape, .chainrule.chainrule th { opacity: .72; font-weight: 400; }
.chainrule.chainrule .scroll { overflow-x: auto; max-width: 100%; }
.chainrule.chainrule table { border-collapse: collapse; border: 0; margin: 0 0 6px; width: auto; font-size: 13px;
  table-layout: auto; color: inherit; }
.chainrule.chainrule thead { border: 0; }
.chainrule.chainrule tbody tr:nth-child(n) { background: none; }
.chainrule.chainrule th, .chainrule.chainrule td { padding: 3px 14px 3px 0; border: 0;
  border-bottom: 1px solid var(--line); white-space: pre; text-align: left; vertical-align: top; max-width: none;
  background: none; }
.chainrule.chainrule .number { text-align: right; font-variant-numeric: tabular-nums; }
.chainrule.chainrule .section { font-weight: 600; margin: 10px 0 2px; opacity: .72; }
.chainrule.chainrule .line { display: flex; gap: 16px; align-items: center; justify-content: space-between;
  border-bottom: 1px solid var(--line); padding: 3px 0; }
.chainrule.chainrule .formula { overflow-x: auto; overflow-y: hidden; font-size: 16px; padding: 2px 0; }
.chainrule.chainrule math { display: inline-block; text-align: left; width: max-content; font-family: "STIX Two Math",
  "STIX Math", "Latin Modern Math", "Cambria Math", "Libertinus Math", "DejaVu Math TeX Gyre", "Noto Sans Math", math; }
.chainrule.chainrule pre { margin: 0; padding: 0; font-size: 13px; background: none; color: inherit; border: 0; }
.chainrule.chainrule .shape { white-space: nowrap; font-size: 12.5px; }
.chainrule.chainrule .place { flex: 0 0 1.6em; text-align: right; opacity: .72; font-size: 12.5px; }
.chainrule.chainrule .place + .formula { flex: 1 1 auto; }
.chainrule.chainrule .why { flex: 0 0 32%; opacity: .72; font-size: 12.5px; }
.chainrule.chainrule form { margin: 0; }
.chainrule.chainrule .choices { display: flex; flex-wrap: wrap; gap: 4px 14px; margin-bottom: 6px; }
.chainrule.chainrule .choices label { cursor: pointer; display: inline-flex; gap: 5px; align-items: center; margin: 0; }
.chainrule.chainrule .choices input { margin: 0; accent-color: var(--c0); }
.chainrule.chainrule .beside { display: flex; flex-wrap: wrap; gap: 12px 32px; align-items: flex-start; }
.chainrule.chainrule .graph { max-height: 430px; overflow: auto; max-width: 100%; }
.chainrule.chainrule svg { display: block; color: inherit; }
.chainrule.chainrule svg text { fill: currentColor; font-family: inherit; }
.chainrule.chainrule .good { color: var(--good); font-weight: 600; }
.chainrule.chainrule .bad { color: var(--bad); font-weight: 600; }
.chainrule.chainrule iframe { width: 100%; height: 640px; border: 1px solid var(--line); border-radius: 6px; }
""".strip()
