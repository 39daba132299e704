"""Run the benchmarks and print one table: measured, floor, measured / floor."""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import Figure, peak_memory

ROOT = Path(__file__).resolve().parent.parent
PARTS = sorted(path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py"))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"only these: {', '.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="small sizes: shows only that it all runs")
    parser.add_argument("--json", action="store_true", help="print one JSON value and nothing else")
    parser.add_argument("--one", metavar="PART", choices=PARTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(run_here(options.one, options.quick)))
        return 0
    unknown = sorted(set(options.parts) - set(PARTS))
    if unknown:
        parser.error(f"no part {', '.join(unknown)}; there are: {', '.join(PARTS)}")
    about = machine()
    results: dict[str, dict[str, Any]] = {}
    for part in options.parts or PARTS:
        if not options.json:
            print(f"{part} ...", file=sys.stderr, flush=True)
        results[part] = run_apart(part, options.quick)
    if options.json:
        print(json.dumps({"machine": about, "quick": options.quick, "parts": results}, indent=2))
    else:
        print(as_text(results, about))
    return 1 if any("error" in result for result in results.values()) else 0


def run_here(part: str, quick: bool) -> dict[str, Any]:
    """Run one part in this process."""
    began = time.perf_counter()
    figures: list[Figure] = importlib.import_module(f"benchmarks.bench_{part}").main(quick)
    wrong = [f.name for f in figures if not (math.isfinite(f.measured) and f.floor > 0)]
    if not figures or wrong:
        raise RuntimeError(f"{part}: no figure, or one that is no number: {', '.join(wrong)}")
    return {
        "seconds": time.perf_counter() - began,
        "peak_memory_mib": peak_memory(),
        "figures": [{**asdict(figure), "ratio": figure.ratio} for figure in figures],
    }


def run_apart(part: str, quick: bool) -> dict[str, Any]:
    """Run one part in a process of its own."""
    command = [sys.executable, "-m", "benchmarks", "--one", part, *(["--quick"] if quick else [])]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        return {"error": done.stderr.strip() or f"stopped with code {done.returncode}", "figures": []}
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def machine() -> dict[str, Any]:
    """Say where this is measured, and how busy that machine is before: another load spoils the figures."""
    import torch

    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "load": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "date": time.strftime("%Y-%m-%d"),
    }


def processor() -> str:
    """Return the processor's name."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def as_text(results: dict[str, dict[str, Any]], about: dict[str, Any]) -> str:
    """Return the table, then what each floor is, then what went wrong."""
    head = ("", "measured", "floor", "unit", "measured/floor")
    rows = [head]
    floors = []
    for part, result in results.items():
        for figure in result["figures"]:
            name = f"{part}: {figure['name']}"
            better = " (less is better)" if figure["lower"] else ""
            rows.append(
                (
                    name,
                    number(figure["measured"]),
                    number(figure["floor"]),
                    figure["unit"],
                    f"{figure['ratio']:.2f}{better}"
                    if figure["ratio"] >= 0.05
                    else f"{figure['ratio']:.1g}{better}",
                )
            )
            floors.append(f"  {name}\n      floor: {figure['floor_is']}")
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0]), row[1].rjust(widths[1]), row[2].rjust(widths[2])]
        lines.append("  ".join([*cells, row[3].ljust(widths[3]), row[4]]).rstrip())
    lines.insert(1, "-" * max(map(len, lines)))
    where = f"{about['processor']}, {about['cores']} cores, {about['threads']} threads, torch {about['torch']}"
    load = "" if about["load"] is None else f", load before {about['load'][0]:.1f}"
    lines += ["", f"{about['date']}, {where}{load}", "", *floors]
    lines += [
        f"\n{part}: stopped\n{result['error']}" for part, result in results.items() if "error" in result
    ]
    return "\n".join(lines)


def number(value: float) -> str:
    """Return a number with three significant digits, thousands apart."""
    digits = max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0
    return f"{value:,.{digits}f}"


if __name__ == "__main__":
    sys.exit(main())
