"""Finishes: a facet that the demo catalogue can have beside those the shipped models know.

It is there to try on it what a catalogue of one's own needs: an attribute that no model has heard
of. These four are told apart by the shipped reranker's frozen vision tower (a linear probe on its
visual tokens: glassy 1.00, metallic 0.95, glowing 0.91, matte 0.58 of 400 pictures); gloss, wood
grain, weave, leather and fur were tried, and are lost between its 16 px patches.
"""
