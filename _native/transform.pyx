"""Apply fitted transforms: one value a feature becomes the columns of a model's matrix; the door is recengine/kernels/transform.py.

Features stand in rows (one contiguous run of values a feature), the matrix in columns (one contiguous row an item).
"""

from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

cdef extern from "transform.h" nogil:
    enum: OP, COLUMN, WIDTH, AT, LENGTH, SEEN, LOW, CURVE, TABLE, CYCLIC, KNOTS, BLOCK
    void transform_rows(const float *values, int64_t stride, const int32_t *places, int64_t n, const uint8_t *constant, const int32_t *steps, const float *numbers,
                        int64_t S, const float *tables, const uint8_t *seen, float *tile, int32_t *which, int64_t width, float *out,
                        int64_t *counts) noexcept

cdef int64_t _bad(const int32_t[:, ::1] steps, const float[:, ::1] numbers, const float[::1] table, int64_t seen, int64_t width) noexcept nogil:
    """The first step that reads or writes outside its arrays or leaves a column out; -1 = none."""
    cdef int64_t s, column = 0, takes, tables = table.shape[0]
    for s in range(steps.shape[0]):
        if steps[s, OP] < 0 or steps[s, OP] > CYCLIC or steps[s, COLUMN] != column or steps[s, WIDTH] < 1:
            return s
        column += steps[s, WIDTH]
        takes = 0
        if steps[s, OP] == TABLE:
            takes = (<int64_t> steps[s, LENGTH] + 2) * steps[s, WIDTH]
            if steps[s, LENGTH] < 0 or (steps[s, SEEN] >= 0 and <int64_t> steps[s, SEEN] + steps[s, LENGTH] + 2 > seen):
                return s
        elif steps[s, WIDTH] != 1 + (steps[s, OP] == CYCLIC):
            return s
        elif steps[s, OP] == CURVE:
            takes = 3 * KNOTS + KNOTS // 16
            if steps[s, LENGTH] < 1 or steps[s, LENGTH] > KNOTS:
                return s
        if steps[s, AT] < 0 or steps[s, AT] + takes > tables:
            return s
        if steps[s, OP] == CURVE and not numbers[s, LOW] >= table[steps[s, AT]]:
            return s  # a value before the first knot would be looked up before the table
    return -1 if column == width else steps.shape[0]


def check(const int32_t[:, ::1] steps, const float[:, ::1] numbers, const float[::1] tables, int64_t seen, int64_t width):
    """Return the first step that does not fit, the number of steps where they do not fill `width`, or -1."""
    return _bad(steps, numbers, tables, seen, width)


def transform(const float[:, :] values, const int32_t[::1] places, const uint8_t[::1] constant, const int32_t[:, ::1] steps,
              const float[:, ::1] numbers, const float[::1] tables, const uint8_t[::1] seen, float[:, ::1] out, int64_t[:, ::1] counts):
    """Fill `out` (n, width), and add to `counts` (2, S): rows missing, rows with an unseen category.

    `values` (R, n) has contiguous rows, of which step s reads `places[s]`; without places R is S. The caller has checked the steps.
    Returns the first place that is no row, or -1.
    """
    cdef int64_t S = steps.shape[0], n = values.shape[1], i
    if places is not None:
        for i in range(S):
            if not 0 <= places[i] < values.shape[0]:
                return i
    if n == 0 or S == 0:
        return -1
    cdef const float *table = &tables[0] if tables.shape[0] else NULL
    cdef const uint8_t *known = &seen[0] if seen.shape[0] else NULL
    # Counts, then the tile, then rows of tables, then places.
    cdef int64_t *scratch = <int64_t *> malloc(2 * S * sizeof(int64_t) + (out.shape[1] + S) * BLOCK * 4 + S * 4)
    if scratch == NULL:
        raise MemoryError
    memset(scratch, 0, 2 * S * sizeof(int64_t))
    cdef float *tile = <float *> (scratch + 2 * S)
    cdef int32_t *which = <int32_t *> (tile + out.shape[1] * BLOCK)
    cdef int32_t *place = which + S * BLOCK
    for i in range(S):
        place[i] = <int32_t> i if places is None else places[i]
    if n <= 4096:  # shorter than handing the interpreter over and back
        transform_rows(&values[0, 0], values.strides[0] // 4, place, n, &constant[0], &steps[0, 0], &numbers[0, 0], S, table, known, tile, which,
                       out.shape[1], &out[0, 0], scratch)
    else:
        with nogil:
            transform_rows(&values[0, 0], values.strides[0] // 4, place, n, &constant[0], &steps[0, 0], &numbers[0, 0], S, table, known, tile,
                           which, out.shape[1], &out[0, 0], scratch)
    for i in range(S):
        counts[0, i] += scratch[i]
        counts[1, i] += scratch[S + i]
    free(scratch)
    return -1
