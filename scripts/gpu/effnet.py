"""Runs the built programs: `effnet`, the example `gradients`, and the device tests."""

import json
import os
import shutil
import signal
import struct
import subprocess
import time

import torch


class ProgramError(RuntimeError):
    """A program failed; the message has the last lines of its output."""


class Programs:
    def __init__(self, options):
        self.binary, self.gradients_binary, self.tests = options.binary, options.gradients, options.tests
        self.timeout = options.timeout
        # Takes precedence over the folder that the programs were linked against, which is not on this machine.
        path = os.pathsep.join(filter(None, [options.libtorch, os.environ.get("LD_LIBRARY_PATH")]))
        self.environment = dict(os.environ, LD_LIBRARY_PATH=path)

    def run(self, command):
        ended = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=self.timeout)
        if ended.returncode != 0:
            lines = (ended.stderr or ended.stdout).strip().splitlines()
            raise ProgramError(f"{os.path.basename(command[0])} exited with {ended.returncode}: "
                               + " / ".join(lines[-3:]))
        return ended

    def environment_report(self):
        return json.loads(self.run([self.binary, "env", "--format", "json"]).stdout)

    def device_tests(self):
        """The result of the device tests, and the reasons of skipped ones."""
        ended = subprocess.run(
            [self.tests, "--nocapture"], env=self.environment, capture_output=True, text=True, timeout=self.timeout)
        lines = ended.stdout.splitlines() + ended.stderr.splitlines()
        verdict = next((line for line in lines if line.startswith("test result:")), f"exit {ended.returncode}")
        skipped = sorted({line.split(": ", 2)[-1] for line in lines if line.startswith("skipped: ")})
        failed = sorted({line.split()[1] for line in lines if line.startswith("test ") and line.endswith("FAILED")})
        if ended.returncode != 0:
            print(ended.stdout[-8000:], ended.stderr[-8000:], sep="\n", flush=True)
        return {"verdict": verdict, "skipped": skipped, "failed": failed, "ok": ended.returncode == 0}

    def logits(self, weights, folder, batch, arguments):
        """Logits [N, classes] of the images in a folder, in the order of their names."""
        ended = self.run([
            self.binary, "classify", folder, "--weights", weights, "--top-k", "0", "--format", "json",
            "--crop-pct", "1", "--batch-size", str(batch), *arguments,
        ])
        rows = []
        for line in ended.stdout.splitlines():
            record = json.loads(line)
            if "error" in record:
                raise ProgramError(f"{record['input']}: {record['error']}")
            row = torch.full((len(record["predictions"]),), float("nan"), dtype=torch.float64)
            for prediction in record["predictions"]:
                row[prediction["class"]] = prediction["logit"]
            rows.append(row)
        return torch.stack(rows)

    def bench(self, variant, weights, batch, runs, arguments):
        return json.loads(self.run([
            self.binary, "bench", "--model", variant, "--weights", weights, "--batch-size", str(batch),
            "--runs", str(runs), "--format", "json", *arguments,
        ]).stdout)

    def training(self, data, output, device, more):
        """The mean loss after each step of a short training run without randomness on the device."""
        shutil.rmtree(output, ignore_errors=True)
        self.run([
            self.binary, "train", data, "--output", output, "--model", "b0", "--device", device,
            "--precision", "fp32", "--image-size", "64", "--batch-size", "8", "--epochs", "2", "--optimizer", "sgd",
            "--schedule", "constant", "--dropout", "0", "--drop-connect", "0",
            "--augment", "none", "--val-split", "0", "--seed", "3", "--log-steps", "1", *more,
        ])
        return [record["loss"] for record in records(output) if record["record"] == "step"]

    def finetune(self, data, weights, output, arguments):
        """The seconds of a run and its records of epochs."""
        shutil.rmtree(output, ignore_errors=True)
        start = time.monotonic()
        self.run([self.binary, "finetune", data, "--weights", weights, "--output", output, *arguments])
        return time.monotonic() - start, [record for record in records(output) if record["record"] == "epoch"]

    def kill_and_resume(self, data, weights, output, arguments):
        """A run that gets SIGKILL once its second epoch is written down, and is then resumed."""
        shutil.rmtree(output, ignore_errors=True)
        # A group of its own, because the program that trains may be a child of this one.
        running = subprocess.Popen(
            [self.binary, "finetune", data, "--weights", weights, "--output", output, *arguments],
            env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        while running.poll() is None and sum(record["record"] == "epoch" for record in records(output)) < 2:
            time.sleep(0.05)
        if running.poll() is not None:
            raise ProgramError("the run ended before it could be killed")
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
        self.run([self.binary, "finetune", "--resume", output])

    def gradients(self, weights, inputs, output, device):
        self.run([self.gradients_binary, weights, inputs, output, device])


def records(run):
    """The records of a run folder so far."""
    path = os.path.join(run, "log.jsonl")
    if not os.path.exists(path):
        return []
    with open(path) as file:
        # A run that goes on may have written half a line.
        return [json.loads(line) for line in file if line.endswith("\n")]


def engine_arguments(device, precision):
    """The flags of a precision; `tf32` is fp32 with --tf32."""
    own = {"tf32": ["--precision", "fp32", "--tf32"]}.get(precision, ["--precision", precision])
    return ["--device", device, "--engine", "fused", *own]


def write_bitmap(path, image):
    """A [3, H, W] tensor of bytes as a 24-bit BMP."""
    _, height, width = image.shape
    padding = -(width * 3) % 4
    pixels = image.flip(0).permute(1, 2, 0).flip(0).reshape(height, width * 3)
    rows = torch.nn.functional.pad(pixels, (0, padding)).contiguous()
    data = rows.numpy().tobytes()
    header = struct.pack("<2sIHHI", b"BM", 54 + len(data), 0, 0, 54)
    header += struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, len(data), 2835, 2835, 0, 0)
    with open(path, "wb") as file:
        file.write(header + data)
