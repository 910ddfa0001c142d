"""Reading modification texts: words → values of a gallery's facets, and what is to be done with
them.

No torch: words are linked by tables and by a small sentence encoder in numpy.
"""
