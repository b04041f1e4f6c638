"""From run folders, or from the tables of an earlier report, to a page, tables, figures and a README.

`collect` reads run folders into tables, and `study` reads the tables; everything else works from those alone, so that a
report can be made again, byte for byte, from the committed files. `sections` has a module and a template for each
topic, `kit` what they are made with. Nothing here computes a statistic: that is `ncf.stats`.
"""
