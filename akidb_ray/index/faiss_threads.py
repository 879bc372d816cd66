"""How many threads faiss uses in a call. OpenMP keeps that number for each calling thread."""

import threading

import faiss

_here = threading.local()


def use_threads(count: int) -> None:
    """For the calls that follow from this thread. With more than one, even the smallest call would
    wake a team of threads, which costs milliseconds when all cores are busy.
    """
    if getattr(_here, "count", 0) != count:
        faiss.omp_set_num_threads(count)
        _here.count = count
