"""The union of ranked lists, by rank."""

import numpy as np


def merge(lists, limit):
    indptr, items, sources = [0], [], []
    for row in range(len(lists[0])):
        own = [[int(x) for x in one[row] if x >= 0] for one in lists]
        taken = set()
        for rank in range(max(one.shape[1] for one in lists)):
            for one in lists:
                if rank < one.shape[1] and one[row, rank] >= 0 and len(taken) < limit:
                    taken.add(int(one[row, rank]))
        items += sorted(taken)
        sources += [sum(1 << s for s, o in enumerate(own) if item in o) for item in sorted(taken)]
        indptr.append(len(items))
    return np.array(indptr, np.int64), np.array(items, np.int32), np.array(sources, np.uint32)
