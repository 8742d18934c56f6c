"""The look of the page: light and dark as the reader's system is, and for paper. Nothing is fetched."""

from livdemo import overlay


def style() -> str:
    """The style sheet, with overlay's colours."""
    names = ("LIVER", "TUMOUR", "TRUE_POSITIVE", "FALSE_POSITIVE", "FALSE_NEGATIVE")
    colours = {name: "#{:02x}{:02x}{:02x}".format(*getattr(overlay, name)) for name in names}
    sheet = _SHEET
    for name, colour in colours.items():
        sheet = sheet.replace(f"@{name}@", colour)
    return sheet.replace("@OPACITY@", f"{overlay.FILL_OPACITY}")


# In the curves, lines stand on the page's own ground: the two colours are darker where that is white.
_SHEET = """
:root{color-scheme:light dark;--ground:#fff;--ink:#1b232c;--soft:#5a6673;--line:#d5dbe1;--panel:#f4f6f8;
--liver:#00795a;--tumour:#b06f00;--alarm:#a34700}
@media screen and (prefers-color-scheme:dark){:root{--ground:#12171d;--ink:#e6ebf0;--soft:#9fabb8;--line:#36414d;
--panel:#1b222a;--liver:#1fc497;--tumour:#f0b030;--alarm:#ff9b57}}
*{box-sizing:border-box}
body{font:16px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;margin:0;background:var(--ground);color:var(--ink)}
main{max-width:70rem;margin:auto;padding:1rem 1rem 3rem}
h1{font-size:1.8rem}h2{font-size:1.35rem;margin:2.5rem 0 .5rem;border-bottom:2px solid var(--line);padding-bottom:.2rem}
h3{font-size:1.1rem;margin:2rem 0 .3rem}h1,h2,h3{line-height:1.25}p{margin:.4rem 0;max-width:48rem}
.soft,small,figcaption{color:var(--soft)}.soft{font-size:.9rem}
.banner{border:2px solid var(--alarm);border-radius:.4rem;padding:.5rem .8rem;font-weight:600;max-width:none}
.warning{border-left:4px solid var(--alarm);padding-left:.7rem}
.stamp{background:var(--alarm);color:var(--ground);border-radius:.25rem;padding:.05rem .4rem;font-size:.75rem;
font-weight:700;letter-spacing:.05em;vertical-align:middle;white-space:nowrap}
.wide{overflow-x:auto;margin:.6rem 0}
table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}
caption{text-align:left;font-weight:600;padding:.3rem 0}
th,td{text-align:right;padding:.28rem .5rem;border-bottom:1px solid var(--line);white-space:nowrap}
th:first-child,td:first-child{text-align:left;position:sticky;left:0;background:var(--ground)}
thead th{color:var(--soft);font-weight:500;vertical-align:bottom}td.best{font-weight:700}
.key{display:flex;flex-wrap:wrap;gap:.3rem 1.2rem;padding:0;margin:.6rem 0;list-style:none;font-size:.9rem}
.key svg{display:inline-block;width:1.9rem;height:1.1rem;vertical-align:-.2rem;margin-right:.35rem;background:#555}
figure{margin:1rem 0;break-inside:avoid}figcaption{font-size:.9rem;margin-bottom:.3rem;max-width:48rem}
figcaption b{color:var(--ink)}
.row{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,19rem),1fr));gap:.6rem;max-width:60rem}
.slice{width:100%;height:auto;display:block;background:#000;border-radius:.25rem}
.slice image{image-rendering:pixelated}.defs{position:absolute}
path{vector-effect:non-scaling-stroke;stroke-linejoin:round}.slice path{fill:none}
.halo{fill:none;stroke:#000;stroke-width:3.2px;stroke-opacity:.5}
.truth{fill:none;stroke:#fff;stroke-width:1.3px;stroke-dasharray:4 4}
.slice .liver{stroke:@LIVER@;stroke-width:2px}.slice .tumour{stroke:@TUMOUR@;stroke-width:2px}
.slice .right,.slice .extra,.slice .missed{fill-rule:evenodd}
.slice .right{fill:@TRUE_POSITIVE@;fill-opacity:@OPACITY@}.slice .extra{fill:url(#hatch)}.slice .missed{fill:url(#dots)}
.slice .witness{stroke:#f0e442;stroke-width:2.2px}.slice .beyond{stroke-dasharray:7 4}
.lonely{fill:none;stroke:#f0e442;stroke-width:2px;vector-effect:non-scaling-stroke}
.slice .bar{stroke:#fff;stroke-width:3px}
.slice text{fill:#fff;paint-order:stroke;stroke:#000;stroke-width:.2em;stroke-opacity:.8;
font-family:inherit;font-weight:600;stroke-linejoin:round}
.curve{width:100%;max-width:38rem;height:auto;display:block;font-size:11px}
.curve text{fill:var(--soft)}.curve path{fill:none;stroke-linejoin:round;stroke-linecap:round}
.curve .grid{stroke:var(--line)}.curve .area{fill:var(--soft);fill-opacity:.22}
.curve path.mark{stroke:var(--soft);stroke-dasharray:2 3}.curve text.mark{fill:var(--ink)}
.curve .line{stroke-width:2px}
.curve .liver{stroke:var(--liver)}.curve .tumour{stroke:var(--tumour);stroke-dasharray:6 3.5}
.tag.liver{color:var(--liver)}.tag.tumour{color:var(--tumour)}.tag{font-weight:600}
dl.terms{columns:22rem 2;column-gap:2rem;font-size:.9rem;margin:.5rem 0}
dl.terms div{break-inside:avoid;margin-bottom:.6rem}dt{font-weight:600}dd{margin:0}
dl.facts{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem;font-size:.88rem;margin:.4rem 0}
dl.facts dt{font-weight:500;color:var(--soft)}dl.facts dd,code{overflow-wrap:anywhere}
code{font-family:ui-monospace,"DejaVu Sans Mono",monospace;font-size:.88em;background:var(--panel);padding:.05rem .3rem}
.model{break-inside:auto}h2,h3{break-after:avoid}
@media (max-width:34rem){h1{font-size:1.5rem}dl.facts{grid-template-columns:1fr}dl.facts dd{margin-bottom:.4rem}}
@media print{body{font-size:10.5pt}main{max-width:none;padding:0}table{font-size:8pt}.wide{overflow:visible}
th,td{padding:.15rem .3rem}.slice,.key svg,.stamp{print-color-adjust:exact;-webkit-print-color-adjust:exact}
.row{grid-template-columns:1fr 1fr}th:first-child,td:first-child{position:static}tr,.curve{break-inside:avoid}
@page{margin:14mm}}
"""
