"""From answers and options to a declaration: what the items are, what is equal or fixed, what does not go together.

What flows in: a matrix or table of answers, the options of `IRT`.
What flows out: codes (N, J), blocks of items, constraints; complaints in one line.

`responses`: the door; `layout`: blocks; `fixed`: known params; `options`, `identified`: refusals; `remarks`: what the
reader of a fit should know.

To add an option: its check in `options`, its effect in `layout`.
"""
