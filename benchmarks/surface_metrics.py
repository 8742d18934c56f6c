"""Surface metrics against the libraries people trust: HD, HD95, ASSD and NSD of one liver and one tumour.

    python -m benchmarks.surface_metrics                  all libraries that are installed (medpy: minutes)
    python -m benchmarks.surface_metrics --only livdemo monai --rounds 5

The masks are 512x512x200 at 0.7x0.7x2.5 mm: two irregular blobs per label that nearly agree. Each library
runs in a process of its own, on one thread, taking turns; figures are medians of process CPU time (a busy
machine hardly moves them) and the peak memory added to that of the imports and the masks. Ratios are to
livdemo.
"""

import argparse
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import ndimage

SHAPE, SPACING_MM, TOLERANCE_MM = (200, 512, 512), (2.5, 0.7, 0.7), 2.0
LABELS = ("liver", "tumour")
FIGURES = ("hd_mm", "hd95_mm", "assd_mm", "nsd")
MODULES = {"livdemo": "livdemo", "monai": "monai", "surface-distance": "surface_distance", "medpy": "medpy"}
# The goals: (label, library) -> how many times faster livdemo is at least.
GOALS = {
    ("liver", "monai"): 10,
    ("liver", "surface-distance"): 8,
    ("liver", "medpy"): 100,
    ("tumour", "monai"): 100,
}
Scorer = Callable[[np.ndarray, np.ndarray], list[float]]


def blob(centre: tuple[float, ...], radii_mm: tuple[float, ...], wobble: float, seed: int) -> np.ndarray:
    """An ellipsoid with an uneven surface, bool (Z, Y, X)."""
    rng = np.random.default_rng(seed)
    axes = [
        (np.arange(n) - c) * step / radius
        for n, c, step, radius in zip(SHAPE, centre, SPACING_MM, radii_mm, strict=True)
    ]
    distance = np.sqrt(sum(axis.astype(np.float32) ** 2 for axis in np.ix_(*axes)))
    coarse = rng.normal(size=(12, 16, 16)).astype(np.float32)
    uneven = ndimage.zoom(coarse, [n / c for n, c in zip(SHAPE, coarse.shape, strict=True)], order=1)
    return distance + wobble * uneven < 1


def write_masks(folder: Path) -> None:
    for k, side in enumerate(("prediction", "reference")):
        np.save(folder / f"liver_{side}.npy", blob((100 + k, 256, 230 + k), (130, 70, 78), 0.03, k))
        np.save(folder / f"tumour_{side}.npy", blob((95, 250 + k, 220 + k), (26, 14, 14), 0.05, 10 + k))


def livdemo_scorer() -> Scorer:
    from livdemo.metrics import surface, surface_distances

    def score(prediction: np.ndarray, reference: np.ndarray) -> list[float]:
        found = surface_distances(prediction, reference, SPACING_MM)
        return [
            surface.hd_mm(found), surface.hd95_mm(found), surface.assd_mm(found),
            surface.nsd(found, TOLERANCE_MM),
        ]  # fmt: skip

    return score


def monai_scorer() -> Scorer:
    import torch
    from monai import metrics

    torch.set_num_threads(1)
    spacing = list(SPACING_MM)

    def score(prediction: np.ndarray, reference: np.ndarray) -> list[float]:
        pair = {
            "y_pred": torch.from_numpy(prediction[None, None]),
            "y": torch.from_numpy(reference[None, None]),
            "include_background": True,
            "spacing": spacing,
        }
        results = [
            metrics.compute_hausdorff_distance(**pair),
            metrics.compute_hausdorff_distance(**pair, percentile=95),
            metrics.compute_average_surface_distance(**pair, symmetric=True),
            metrics.compute_surface_dice(**pair, class_thresholds=[TOLERANCE_MM]),
        ]
        return [float(result) for result in results]

    return score


def surface_distance_scorer() -> Scorer:
    import surface_distance as library

    def score(prediction: np.ndarray, reference: np.ndarray) -> list[float]:
        found = library.compute_surface_distances(reference, prediction, SPACING_MM)
        return [
            library.compute_robust_hausdorff(found, 100),
            library.compute_robust_hausdorff(found, 95),
            float(np.mean(library.compute_average_surface_distance(found))),
            library.compute_surface_dice_at_tolerance(found, TOLERANCE_MM),
        ]

    return score


def medpy_scorer() -> Scorer:
    from medpy.metric import binary

    def score(prediction: np.ndarray, reference: np.ndarray) -> list[float]:
        three = [f(prediction, reference, SPACING_MM) for f in (binary.hd, binary.hd95, binary.assd)]
        return [*map(float, three), float("nan")]  # it has no NSD

    return score


SCORERS = {
    "livdemo": livdemo_scorer,
    "monai": monai_scorer,
    "surface-distance": surface_distance_scorer,
    "medpy": medpy_scorer,
}


def peak_mib() -> float:
    """Highest resident memory of this process since `reset_peak`."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def reset_peak() -> None:
    """Forget the imports' own peak where the system lets a process do so (Linux)."""
    knob = Path("/proc/self/clear_refs")
    if knob.exists():
        knob.write_text("5")


def measure(library: str, label: str, folder: Path) -> dict[str, object]:
    """One run in this process: CPU seconds, added MiB and the four figures."""
    warnings.simplefilter("ignore")
    pair = [np.load(folder / f"{label}_{side}.npy") for side in ("prediction", "reference")]
    score = SCORERS[library]()
    tiny = np.zeros((4, 4, 4), bool)
    tiny[1:3, 1:3, 1:3] = True
    score(tiny, tiny)  # first-call costs (lazy imports, caches) are not what is compared
    reset_peak()
    before, start = peak_mib(), time.process_time()
    figures = score(*pair)
    return {"seconds": time.process_time() - start, "mib": peak_mib() - before, "figures": figures}


def run_elsewhere(library: str, label: str, folder: Path) -> dict:
    command = [sys.executable, "-m", "benchmarks.surface_metrics", "--measure", library, label, str(folder)]
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    finished = subprocess.run(command, env=one_thread, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(finished.stdout.splitlines()[-1])


def report(label: str, runs: dict[str, list[dict]]) -> bool:
    """Print one label's table; whether every goal that could be measured was met."""
    seconds = {name: statistics.median(run["seconds"] for run in many) for name, many in runs.items()}
    memory = {name: statistics.median(run["mib"] for run in many) for name, many in runs.items()}
    ours = runs["livdemo"][0]["figures"]
    print(f"\n{label}")
    print(f"{'library':18}{'CPU s':>9}{'ratio':>8}{'+ MiB':>8}   " + "".join(f"{f:>10}" for f in FIGURES))
    met = True
    for name, many in runs.items():
        figures = many[0]["figures"]
        ratio = seconds[name] / seconds["livdemo"]
        line = f"{name:18}{seconds[name]:9.3f}{ratio:8.1f}{memory[name]:8.0f}   "
        print(line + "".join(f"{figure:10.4f}" for figure in figures))
        goal = GOALS.get((label, name))
        if goal:
            met &= ratio >= goal
            print(f"{'':18}goal: at least {goal} times: {'met' if ratio >= goal else 'NOT MET'}")
        if name == "monai":
            apart = max(abs(a - b) for a, b in zip(figures, ours, strict=True))
            met &= apart <= 1e-4
            print(f"{'':18}figures at most {apart:.1e} apart: {'met' if apart <= 1e-4 else 'NOT MET'} (1e-4)")
        if name != "livdemo":
            met &= memory["livdemo"] < memory[name]
    least = memory["livdemo"] <= min(memory.values())
    print(f"{'':18}livdemo uses the least memory: {'met' if least else 'NOT MET'}")
    return met


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SCORERS, help="measure these (and livdemo, always)")
    parser.add_argument("--rounds", type=int, default=3, help="runs per library; medpy always runs once")
    parser.add_argument("--measure", nargs=3, metavar=("LIBRARY", "LABEL", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        library, label, folder = options.measure
        print(json.dumps(measure(library, label, Path(folder))))
        return 0
    chosen = [name for name in SCORERS if name == "livdemo" or not options.only or name in options.only]
    present = [name for name in chosen if importlib.util.find_spec(MODULES[name])]
    for name in sorted(set(chosen) - set(present)):
        print(f"{name} is not installed and left out")
    met = True
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_masks(folder)
        for label in LABELS:
            runs: dict[str, list[dict]] = {name: [] for name in present}
            for turn in range(options.rounds):
                for name in present:
                    if name != "medpy" or turn == 0:
                        runs[name].append(run_elsewhere(name, label, folder))
            met &= report(label, runs)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
