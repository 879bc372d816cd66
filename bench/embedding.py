"""Embedding on this machine: texts/s of one process, and agreement with PyTorch's vectors.

python bench/embedding.py --model all-MiniLM-L6-v2 --processes 2
"""

import argparse
import json
import platform
import random
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from akidb_ray.embedding.models import DEFAULT_MODEL, load_embedder

ROOT = Path(__file__).parents[1]
DATA = ROOT / "tests" / "data" / "embedding"
RESULTS = ROOT / "bench" / "results" / "embedding.json"
WORDS_PER_TEXT = (12, 64, 128)
WORDS_PER_ROUND = 4000
ROUNDS = 4


def make_texts(words: int, seed: int) -> list[str]:
    """Texts of so many common words, about one token each."""
    vocabulary = json.loads((DATA / "texts.json").read_text())[10].split()
    draw = random.Random(seed)
    return [" ".join(draw.choices(vocabulary, k=words)) for _ in range(WORDS_PER_ROUND // words)]


def measure(model: str, seed: int) -> dict[int, list[float]]:
    """texts/s in each round, by words per text. Runs in a process of its own."""
    embedder = load_embedder(model)
    rates: dict[int, list[float]] = {words: [] for words in WORDS_PER_TEXT}
    for words in WORDS_PER_TEXT:
        texts = make_texts(words, seed)
        embedder.embed(texts[:8], "document")
        for _ in range(ROUNDS):
            start_s = time.perf_counter()
            embedder.embed(texts, "document")
            rates[words].append(len(texts) / (time.perf_counter() - start_s))
    return rates


def parity(model: str) -> float | None:
    """Smallest cosine between our vectors and PyTorch's; None for a model without a reference."""
    if model != DEFAULT_MODEL:
        return None
    texts = json.loads((DATA / "texts.json").read_text())
    vectors = load_embedder(model).embed(texts, "document").vectors
    return float((vectors * np.load(DATA / "minilm_expected.npy")).sum(axis=1).min())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--processes", type=int, default=1, help="that embed at the same time")
    arguments = parser.parse_args()
    # Spawned, so that each loads its own BLAS and kernels.
    with ProcessPoolExecutor(arguments.processes, mp_context=get_context("spawn")) as pool:
        runs = [pool.submit(measure, arguments.model, seed) for seed in range(arguments.processes)]
        rates = [run.result() for run in runs]
    cosine = parity(arguments.model)

    print(f"{arguments.model}, {arguments.processes} process(es), texts/s per process")
    print(f"{'words':>6} {'median':>8} {'best':>8}")
    table = []
    for words in WORDS_PER_TEXT:
        values = [value for run in rates for value in run[words]]
        row = {"words": words, "median": float(np.median(values)), "best": max(values)}
        table.append(row)
        print(f"{words:>6} {row['median']:>8.1f} {row['best']:>8.1f}")
    if cosine is not None:
        print(f"smallest cosine with PyTorch: {cosine:.8f}")
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    result = {
        "model": arguments.model,
        "processes": arguments.processes,
        "machine": platform.machine(),
        "texts_per_s": table,
        "parity_cosine_min": cosine,
    }
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
