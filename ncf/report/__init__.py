"""From run folders, or from the tables of an earlier report, to a page, tables, figures and a README.

`collect` reads run folders into tables; everything else works from those tables alone, so that a report can be made
again, byte for byte, from the committed files. Nothing here computes a statistic: that is `ncf.stats`.
"""
