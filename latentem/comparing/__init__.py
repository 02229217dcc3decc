"""Fits compared: with each other, and with what they would be on other data.

What flows in: fits that are maxima, or models and data.
What flows out: `Bootstrap`, `Selection`, `LikelihoodRatioTest`: values with what was computed and a text.

`bootstrap`: data simulated from a fit, all replicates refitted in one program; `selection`: criteria and
cross-validation; `ratio_test`: likelihood-ratio tests of nested models.

To add one: a function of fits in a file of its own. Refits of many data sets are `ascent.replicates.refit`, never a
loop of `lem.fit`.
"""
