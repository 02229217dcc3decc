"""Numbers, and nothing of statistics: what any program that climbs a function of many rows would want.

What flows in: arrays with a leading axis of rows; functions of a chunk of them, or of a vector.
What flows out: sums and maps over rows; a vector from which no Newton step gains; programs compiled for the purpose.

- `chunks`: sums over rows in chunks that stay in cache, nothing padded or copied: the last chunk overlaps the one
  before it and counted rows get weight zero.
- `newton`: damped Newton ascent, one program; the direction alone for whoever takes the steps one by one.
- `compiled`: how programs are compiled: by the quicker code generator where they run seldom, ahead of their use on
  another core, and let go when the process runs out of memory maps.

To add one: a file that imports nothing of latentem but this folder, with a test on numbers in `tests/core`. What knows
a parameter, a density or a data set belongs further up.
"""
