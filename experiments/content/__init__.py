"""Does content help, does recency help, and what does variety cost?"""
