"""Renders the results as Markdown."""

import finetune

PRECISIONS = ["fp32", "tf32", "bf16", "fp16"]
VARIANTS = ["b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7"]


def number(value, digits=1):
    return "-" if value is None else f"{value:,.{digits}f}"


def mebibytes(value):
    return "-" if value is None else f"{value / 2**20:,.0f}"


def speed(case, contender):
    """Latency, images/s and memory of one contender of a case, or its error."""
    found = case.get(contender)
    if found is None:
        return ["", "", ""]
    if "error" in found:
        return [f"failed: {found['error']}".replace("|", "/")[:120], "", ""]
    return [number(found["ms"], 2), number(found["images_per_second"], 0), mebibytes(found.get("device_memory"))]


def line(cells):
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def table(head, rows):
    return [line(head), line(["---"] * len(head)), *map(line, rows), ""]


def logits(results):
    rows = []
    for case in sorted(results["logits"].values(), key=order):
        if "error" in case:
            rows.append([case["variant"], case["precision"], f"failed: {case['error']}", "", "", ""])
            continue
        rows.append([
            case["variant"], case["precision"], f"{case['largest']:.1e}", f"{case['mean']:.1e}",
            f"{case['top1']} of {case['images']}", "yes" if case["ok"] else f"**no**, bound {case['bound']}",
        ])
    head = ["", "precision", "largest difference", "mean difference", "same top-1", "within bounds"]
    return ["## Logits against the CPU", "",
            "The engine on the device against `--engine plain --device cpu` in fp32, on the same image files. "
            "Differences are relative to the largest and to the mean magnitude. Weights are random, so the "
            "margins of the top-1 classes are small.", "", *table(head, rows)]


def gradients(results):
    rows = []
    for case in results["gradients"].values():
        if "error" in case:
            rows.append([case["variant"], f"failed: {case['error']}", "", "", ""])
            continue
        rows.append([
            case["variant"], f"{case['loss']:.1e}", f"{case['cpu']:.1e} ({case['cpu_name']})",
            f"{case['pytorch']:.1e} ({case['pytorch_name']})", "yes" if case["ok"] else f"**no**, bound {case['bound']}",
        ])
    head = ["", "loss against the CPU", "worst gradient against the CPU", "against PyTorch on the device", "within bounds"]
    return ["## Gradients of a training step, fp32", "",
            "Differences are relative to the largest gradient of the tensor.", "", *table(head, rows)]


def training(results):
    rows = []
    for task, case in results["training"].items():
        if "error" in case:
            rows.append([task, f"failed: {case['error']}", "", "", ""])
            continue
        rows.append([
            task, case["steps"], f"{case['first']:.2f} to {case['last']:.2f}", f"{case['largest']:.1e}",
            "yes" if case["ok"] else f"**no**, bound {case['bound']}",
        ])
    head = ["task", "steps", "loss", "largest difference", "within bounds"]
    return ["## Training", "",
            "`effnet train` in fp32 on the device and on the CPU: the mean loss of the epoch so far, after each step; "
            "differences are relative.", "", *table(head, rows)]


def order(case):
    return case["variant"], case.get("batch", 0), PRECISIONS.index(case["precision"])


def speeds(results):
    rows = []
    for case in sorted(results["speed"].values(), key=order):
        row = [case["variant"], case["batch"], case["precision"]]
        for contender in ("effnet", "effnet tuned", "eager", "compile"):
            row += speed(case, contender)
        best = min((case[name]["ms"] for name in ("effnet", "effnet tuned") if "ms" in case.get(name, {})), default=None)
        for contender in ("eager", "compile"):
            theirs = case.get(contender, {}).get("ms")
            row.append(number(theirs / best, 2) if theirs and best else "")
        rows.append(row)
    head = ["", "batch", "precision"]
    for contender in ("effnet", "effnet --autotune", "PyTorch eager", "torch.compile"):
        head += [f"{contender} ms", "images/s", "MiB"]
    head += ["eager / effnet", "compile / effnet"]
    return ["## Latency, throughput, memory", "",
            "Milliseconds are the median time from images in host memory to logits in host memory. Images per "
            "second are measured over consecutive batches that do not wait for each other; PyTorch's inputs are "
            "pinned in advance, effnet's are not. MiB is the peak of the device memory that the allocator held. "
            "PyTorch runs channels_last with `cudnn.benchmark`, torch.compile in mode max-autotune; both use "
            "effnet's weights and its SAME padding. A ratio of latencies above 1 means that effnet, with or without "
            "`--autotune`, is faster.", "",
            *table(head, rows)]


def tests(results):
    found = results["tests"]
    if not found:
        return []
    lines = ["## Tests that need the device", "", f"`{found['verdict']}`"]
    lines += [f"- failed: {name}" for name in found["failed"]]
    lines += [f"- skipped: {reason}" for reason in found["skipped"]]
    return [*lines, ""]


def render(results):
    lines = ["# effnet on CUDA", "", f"Written by `scripts/gpu-check` on {results['date']}.", ""]
    lines += [f"- {name}: {value}" for name, value in results["machine"].items()]
    lines.append("")
    for section in (tests, logits, gradients, training, finetune.lines, speeds):
        lines += section(results)
    lines += [f"Not measured, for lack of time: {case}." for case in results["left_out"]]
    return "\n".join(lines).rstrip() + "\n"


def failures(results):
    """Descriptions of everything that failed."""
    found = []
    if results["tests"] and not results["tests"]["ok"]:
        found.append("device tests failed or were skipped")
    tuned = results["finetune"]
    found += ["fine-tuning" for case in [*tuned.get("cases", []), tuned.get("resumed", {"ok": True})] if not case.get("ok")]
    for kind in ("logits", "gradients", "training"):
        found += [f"{kind} of {key}" for key, case in results[kind].items() if not case.get("ok")]
    for key, case in results["speed"].items():
        found += [f"{name} of {key} did not run" for name in ("effnet", "effnet tuned") if "error" in case.get(name, {})]
    return found
