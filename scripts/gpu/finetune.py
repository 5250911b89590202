"""Fine-tuning on the device: how accurate and how fast beside the CPU, and whether a run that was killed ends as one
that was not."""

import hashlib
import os
import statistics


def accuracy(programs, data, weights, work, device, precision, seeds):
    """The best top-1 of validation and the seconds of a run per seed, with effnet's defaults."""
    found = {"device": device.split(":")[0], "precision": precision, "top1": [], "seconds": []}
    for seed in seeds:
        output = os.path.join(work, f"finetuned-{found['device']}-{precision}-{seed}")
        arguments = ["--device", device, "--precision", precision, "--seed", str(seed)]
        seconds, epochs = programs.finetune(data, weights, output, arguments)
        found["top1"].append(max(epoch["validation"]["top1"] for epoch in epochs))
        found["seconds"].append(seconds)
    found["ok"] = True
    return found


def resumed(programs, data, weights, work, device):
    """Whether two equal runs leave equal weights, and a run that was killed after an epoch and resumed."""
    arguments = ["--device", device, "--precision", "bf16", "--seed", "1"]
    outputs = [os.path.join(work, f"resumed-{name}") for name in ("first", "again", "killed")]
    for output in outputs[:2]:
        programs.finetune(data, weights, output, arguments)
    programs.kill_and_resume(data, weights, outputs[2], arguments)
    first, again, killed = map(digest, outputs)
    return {"again": first == again, "killed": first == killed, "ok": first == killed}


def digest(run):
    with open(os.path.join(run, "best.safetensors"), "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def lines(results):
    """The section of GPU.md."""
    found = results["finetune"]
    if not found:
        return []
    text = ["## Fine-tuning", "",
            f"`effnet finetune` with its defaults of {found['data']}, from the weights {found['weights']}. Top-1 of the "
            "best epoch in %, and seconds from start to end, of each seed.", "",
            "| | top-1 | mean | seconds |", "| --- | --- | --- | --- |"]
    for case in found["cases"]:
        if "error" in case:
            text.append(f"| failed: {case['error']} | | | |")
            continue
        top1 = [100 * value for value in case["top1"]]
        text.append(f"| {case['device']}, {case['precision']} | {', '.join(f'{value:.1f}' for value in top1)} "
                    f"| {statistics.mean(top1):.1f} | {', '.join(f'{value:.0f}' for value in case['seconds'])} |")
    case = found.get("resumed", {})
    if "error" in case:
        text += ["", f"Resuming failed: {case['error']}"]
    elif case:
        text += ["", f"Two equal runs in bf16 leave {'equal' if case['again'] else 'different'} bytes; a run that is killed "
                     f"(SIGKILL) after its second epoch and resumed leaves {'equal' if case['killed'] else 'different'} "
                     "bytes."]
    return [*text, ""]
