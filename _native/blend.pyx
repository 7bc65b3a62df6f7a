"""Pool the calibrated opinions of several models; the door is recengine/kernels/blend.py."""
from libc.math cimport NAN, expf
from libc.stdint cimport int64_t


def blend(const float[:, ::1] scores, const float[::1] slope, const float[::1] intercept, const float[::1] weight,
          float[::1] logit, float[:, ::1] probabilities, float[:, ::1] contributions):
    """Fill the three outputs for `scores` (N, M)."""
    cdef int64_t i, m, n = scores.shape[0], models = scores.shape[1]
    cdef float x, total, share
    with nogil:
        for i in range(n):
            total = 0
            share = 0
            for m in range(models):
                x = slope[m] * scores[i, m] + intercept[m]
                probabilities[i, m] = 1 / (1 + expf(-x))
                contributions[i, m] = 0
                if x == x:
                    contributions[i, m] = weight[m] * x
                    total += weight[m] * x
                    share += weight[m]
            logit[i] = total / share if share > 0 else NAN
            for m in range(models):
                contributions[i, m] = contributions[i, m] / share if share > 0 else 0
