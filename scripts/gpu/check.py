"""The checks and measurements of scripts/gpu-check, one method per part."""

import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
import time

import torch
from safetensors.torch import load_file, save_file

import finetune
import table
from effnet import ProgramError, Programs, engine_arguments, write_bitmap
from network import VARIANTS, EfficientNet, calibrated, smooth

HERE = os.path.dirname(os.path.abspath(__file__))
# Bounds of the largest difference for fp32, and of the mean difference for the others. rounding.py computes
# what to expect of 16 bits: up to 1e-2 in fp16, 8e-2 in bf16.
LOGIT_BOUNDS = {"fp32": 1e-4, "tf32": 2e-2, "bf16": 1.2e-1, "fp16": 2e-2}
# For PyTorch, in half precision with unfolded batch norms: wide enough for rounding, not for wrong weights.
CONTENDER_BOUND = 0.5
GRADIENT_BOUND = 2e-3
# Bound of the mean loss after each step: rounding grows from step to step.
TRAINING_BOUND = 1e-2
# What is trained beside the CPU, with the arguments that only it takes.
TASKS = {
    "classes": ["--lr", "0.01", "--mixup", "0.2"],
    "several labels": ["--lr", "0.01", "--task", "multilabel"],
    "numbers": ["--lr", "0.001", "--task", "regression"],
}
# The reason for which tests/tests/cuda/nccl.rs skips a test on most machines.
ONE_DEVICE = "this machine has one device"
ERRORS = (ProgramError, subprocess.TimeoutExpired, OSError, RuntimeError, ValueError, KeyError)


class Check:
    def __init__(self, options, work):
        self.options, self.work = options, work
        self.programs = Programs(options)
        self.device = "cpu" if options.cpu_only else options.device
        self.expected = {}
        self.until = time.monotonic() + options.minutes * 60
        self.state = os.path.join(work, "results.json")
        self.results = {"tests": None, "logits": {}, "gradients": {}, "training": {}, "finetune": {},
                        "speed": {}}
        if os.path.exists(self.state):
            with open(self.state) as file:
                self.results.update(json.load(file))
        self.results.update(date=str(datetime.date.today()), machine=self.machine(), left_out=[])

    def machine(self):
        report = self.programs.environment_report()
        lines = {}
        if self.device == "cpu":
            lines["device"] = "**the CPU in place of a device**: this is a dry run of the script"
        else:
            index = torch.device(self.device).index or 0
            lines["device"] = torch.cuda.get_device_name(index)
            lines["driver"] = driver()
            lines["cuDNN"] = torch.backends.cudnn.version()
            lines["CUDA graphs"] = "yes" if report["cuda_graphs"] else f"no: {report['cuda_problem']}"
        lines["effnet"] = f"{report['effnet']}, libtorch {report['libtorch']}"
        lines["torch"] = f"{torch.__version__}, Python {platform.python_version()}"
        lines["processor"] = f"{report['processor']}, {report['cores']} cores"
        return lines

    def out_of_time(self, what):
        if time.monotonic() < self.until:
            return False
        self.results["left_out"].append(what)
        return True

    def save(self):
        write(self.state, json.dumps(self.results, indent=1))
        write(self.options.output, table.render(self.results))

    # Generated inputs, each created once.

    def weights(self, variant):
        path = os.path.join(self.work, f"{variant}.pth")
        if not os.path.exists(path):
            torch.save(calibrated(variant, self.device).state_dict(), path + ".partial")
            os.replace(path + ".partial", path)
        return path

    def images(self, variant, count):
        """A file of normalised images and labels."""
        path = os.path.join(self.work, f"{variant}-{count}.safetensors")
        if not os.path.exists(path):
            images = smooth(count, VARIANTS[variant][2], torch.Generator().manual_seed(2))
            save_file({"images": images.contiguous(), "labels": torch.arange(count) * 37 % 1000}, path)
        return path

    def image_files(self, variant, count):
        """A folder of image files at the input size of the network."""
        folder = os.path.join(self.work, f"{variant}-images-{count}")
        if not os.path.exists(folder):
            os.makedirs(folder + ".partial", exist_ok=True)
            images = smooth(count, VARIANTS[variant][2], torch.Generator().manual_seed(4))
            for index, image in enumerate((images * 45 + 120).clamp(0, 255).byte()):
                write_bitmap(os.path.join(folder + ".partial", f"{index:04}.bmp"), image)
            os.replace(folder + ".partial", folder)
        return folder

    def classes(self, count):
        """Two folders of image files, dark ones and bright ones."""
        folder = os.path.join(self.work, f"classes-{count}")
        if not os.path.exists(folder):
            images = smooth(2 * count, 64, torch.Generator().manual_seed(5))
            for index, image in enumerate(images):
                name, level = [("dark", 90), ("bright", 160)][index % 2]
                os.makedirs(os.path.join(folder + ".partial", name), exist_ok=True)
                path = os.path.join(folder + ".partial", name, f"{index:04}.bmp")
                write_bitmap(path, (image * 45 + level).clamp(0, 255).byte())
            os.replace(folder + ".partial", folder)
        return folder

    def training_data(self, task, count):
        """Two folders of image files, or a table of the same files."""
        folder = self.classes(count)
        if task == "classes":
            return folder
        path = os.path.join(self.work, f"{task.replace(' ', '-')}.csv")
        with open(path, "w") as file:
            file.write("path,labels\n" if task == "several labels" else "path,number\n")
            for name in ("dark", "bright"):
                for number, image in enumerate(sorted(os.listdir(os.path.join(folder, name)))):
                    more = ";third" if number % 3 == 0 else ""
                    answer = name + more if task == "several labels" else number / 7 + (name == "dark")
                    file.write(f"{os.path.basename(folder)}/{name}/{image},{answer}\n")
        return path

    # The parts.

    def tests(self):
        say("device tests")
        found = self.programs.device_tests()
        # With a device, a skipped test has not found it, or needs two.
        unfounded = set(found["skipped"]) - {ONE_DEVICE}
        found["ok"] = found["ok"] and (self.options.cpu_only or not unfounded)
        self.results["tests"] = found
        say(f"  {found['verdict']}" + ("" if found["ok"] else ", NOT OK"))
        self.save()

    def logits(self):
        options = self.options
        # Three batches, so that the third one on a device replays a recorded CUDA graph.
        batch = max(1, options.images // 3)
        for variant in options.variants:
            if self.out_of_time(f"logits of {variant}"):
                continue
            weights, folder = self.weights(variant), self.image_files(variant, options.images)
            plain = ["--device", "cpu", "--engine", "plain", "--precision", "fp32"]
            expected = self.programs.logits(weights, folder, batch, plain)
            for precision in options.precisions:
                case = {"variant": variant, "precision": precision, "images": options.images}
                case |= attempted(self.compared_logits, weights, folder, batch, precision, expected)
                self.results["logits"][f"{variant} {precision}"] = case
                say(f"logits of {variant} in {precision}: " + str(case.get("error") or
                    f"largest {case['largest']:.1e}, mean {case['mean']:.1e}, {'ok' if case['ok'] else 'OUT OF BOUNDS'}"))
                self.save()

    def compared_logits(self, weights, folder, batch, precision, expected):
        found = self.programs.logits(weights, folder, batch, engine_arguments(self.device, precision))
        return compare_logits(found, expected, precision)

    def gradients(self):
        for variant in self.options.gradient_variants:
            if self.out_of_time(f"gradients of {variant}"):
                continue
            case = {"variant": variant} | attempted(self.compared_step, variant)
            self.results["gradients"][variant] = case
            say(f"gradients of {variant}: " + str(case.get("error") or
                f"{case['cpu']:.1e} from the CPU, {case['pytorch']:.1e} from PyTorch, {'ok' if case['ok'] else 'OUT OF BOUNDS'}"))
            self.save()

    def compared_step(self, variant):
        weights, inputs = self.weights(variant), self.images(variant, self.options.gradient_images)
        steps = {}
        for device in dict.fromkeys(["cpu", self.device]):
            output = os.path.join(self.work, f"{variant}-step-{device.replace(':', '-')}.safetensors")
            self.programs.gradients(weights, inputs, output, device)
            steps[device] = load_file(output)
        return compare_steps(steps[self.device], steps["cpu"], pytorch_step(variant, weights, inputs, self.device))

    def training(self):
        for task, more in TASKS.items():
            if self.out_of_time(f"training of {task}"):
                continue
            case = attempted(self.compared_training, task, more)
            self.results["training"][task] = case
            say(f"training of {task}: " + str(case.get("error") or
                f"{case['steps']} steps, losses within {case['largest']:.1e} of the CPU's, {'ok' if case['ok'] else 'OUT OF BOUNDS'}"))
            self.save()

    def compared_training(self, task, more):
        data, losses = self.training_data(task, 32), {}
        for device in dict.fromkeys(["cpu", self.device]):
            output = os.path.join(self.work, f"training-{device.replace(':', '-')}")
            losses[device] = self.programs.training(data, output, device, more)
        return compare_losses(losses[self.device], losses["cpu"])

    def finetune(self):
        data, weights, seeds = self.options.photos, self.options.weights, range(1, self.options.seeds + 1)
        if data is None or weights is None:
            return say("fine-tuning: left out, because --photos and --weights are not given")
        found = {"data": os.path.basename(data), "weights": os.path.basename(weights), "cases": []}
        self.results["finetune"] = found
        for device, precision in dict.fromkeys([("cpu", "fp32"), (self.device, "fp32"), (self.device, "bf16")]):
            if self.out_of_time(f"fine-tuning on {device} in {precision}"):
                continue
            found["cases"].append(attempted(finetune.accuracy, self.programs, data, weights, self.work, device, precision, seeds))
            say(f"fine-tuning: {found['cases'][-1]}")
            self.save()
        if not self.out_of_time("resuming"):
            found["resumed"] = attempted(finetune.resumed, self.programs, data, weights, self.work, self.device)
            say(f"resuming: {found['resumed']}")
            self.save()

    def speed(self):
        for case, variant, batch, precision in self.speed_cases():
            if self.out_of_time(f"speed of {variant} x{batch} in {precision}"):
                continue
            for name, extra in (("effnet", []), ("effnet tuned", ["--autotune"])):
                case[name] = self.bench(variant, batch, precision, extra)
            case["eager"] = self.contender(variant, batch, precision, "eager")
            self.report_speed(case, "effnet", "effnet tuned", "eager")

    def compile(self):
        for case, variant, batch, precision in self.speed_cases():
            if variant not in self.options.compile_variants:
                continue
            if self.out_of_time(f"torch.compile of {variant} x{batch} in {precision}"):
                continue
            case["compile"] = self.contender(variant, batch, precision, "compile")
            self.report_speed(case, "compile")

    def speed_cases(self):
        for variant in self.options.variants:
            for batch in self.options.batches:
                for precision in self.options.precisions:
                    case = {"variant": variant, "batch": batch, "precision": precision}
                    key = f"{variant} x{batch} {precision}"
                    yield self.results["speed"].setdefault(key, case), variant, batch, precision

    def report_speed(self, case, *names):
        results = [f"{name} " + (f"{case[name]['ms']:.2f} ms" if "ms" in case[name] else case[name]["error"]) for name in names]
        say(f"{case['variant']} x{case['batch']} in {case['precision']}: " + ", ".join(results))
        self.save()

    def bench(self, variant, batch, precision, extra):
        try:
            report = self.programs.bench(
                variant, self.weights(variant), batch, self.options.runs,
                engine_arguments(self.device, precision) + extra)
        except ERRORS as error:
            return {"error": words(error)}
        return {
            "ms": report["latency_ms"]["p50"], "images_per_second": report["images_per_second"],
            "device_memory": report.get("peak_device_memory_bytes"), "backend": report["backend"],
        }

    def contender(self, variant, batch, precision, mode):
        images = self.images(variant, max(self.options.batches))
        command = [
            sys.executable, os.path.join(HERE, "contender.py"), variant, self.weights(variant), images,
            precision, str(batch), str(self.options.runs), self.device, mode,
        ]
        try:
            ended = subprocess.run(command, capture_output=True, text=True, timeout=self.options.timeout)
            if ended.returncode != 0:
                return {"error": (ended.stderr.strip().splitlines() or ["no message"])[-1]}
            report = json.loads(ended.stdout.strip().splitlines()[-1])
        except ERRORS as error:
            return {"error": words(error)}
        error = self.contender_error(variant, images, report.pop("logits"))
        return report if error <= CONTENDER_BOUND else {"error": f"the error of its logits is {error:.1e}"}

    def contender_error(self, variant, images, logits):
        """The error of the first image, relative to 32 bits on the CPU."""
        if variant not in self.expected:
            network = EfficientNet(variant).eval()
            network.load_state_dict(torch.load(self.weights(variant), weights_only=True))
            with torch.inference_mode():
                self.expected[variant] = network(load_file(images)["images"][:1])[0]
        expected = self.expected[variant]
        return float((torch.tensor(logits[0]) - expected).abs().mean() / expected.abs().mean())


def attempted(measure, *arguments):
    """What it finds, or its error."""
    try:
        return measure(*arguments)
    except ERRORS as error:
        return {"error": words(error)}


def compare_logits(found, expected, precision):
    if found.shape != expected.shape or not torch.isfinite(found).all():
        raise ValueError(f"{tuple(found.shape)} logits, finite: {bool(torch.isfinite(found).all())}")
    difference = (found - expected).abs()
    largest = float(difference.max() / expected.abs().max())
    mean = float(difference.mean() / expected.abs().mean())
    bound = LOGIT_BOUNDS[precision]
    return {
        "largest": largest, "mean": mean, "bound": bound,
        "top1": int((found.argmax(1) == expected.argmax(1)).sum()),
        "ok": (largest if precision == "fp32" else mean) <= bound,
    }


def compare_losses(found, cpu):
    """The largest relative difference of the mean losses after the steps."""
    if len(found) != len(cpu) or not found:
        raise ValueError(f"{len(found)} and {len(cpu)} steps")
    largest = max(abs(a - b) / abs(b) for a, b in zip(found, cpu))
    return {"steps": len(found), "largest": largest, "bound": TRAINING_BOUND,
            "first": cpu[0], "last": cpu[-1], "ok": largest <= TRAINING_BOUND}


def pytorch_step(variant, weights, inputs, device):
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    network = EfficientNet(variant)
    network.load_state_dict(torch.load(weights, weights_only=True))
    network.to(device).train()
    inputs = load_file(inputs, device=device)
    loss = torch.nn.functional.cross_entropy(network(inputs["images"]), inputs["labels"])
    loss.backward()
    return {f"gradient.{name}": tensor.grad.cpu() for name, tensor in network.named_parameters()}


def compare_steps(found, cpu, pytorch):
    """The worst relative difference of a gradient to the CPU's and to PyTorch's."""
    worst = {}
    for name, other in (("cpu", cpu), ("pytorch", pytorch)):
        gradients = {key: tensor for key, tensor in other.items() if key.startswith("gradient.")}
        if gradients.keys() != {key for key in found if key.startswith("gradient.")}:
            raise ValueError("the names of the gradients differ")
        worst[name], worst[f"{name}_name"] = max(
            (gradient_difference(key, found, gradients), key.removeprefix("gradient.")) for key in gradients)
    loss = float((found["loss"] - cpu["loss"]).abs() / cpu["loss"].abs())
    within = max(worst["cpu"], worst["pytorch"]) <= GRADIENT_BOUND and loss <= 1e-4
    return {"loss": loss, "bound": GRADIENT_BOUND, "ok": within, **worst}


def gradient_difference(key, found, expected):
    difference = (found[key] - expected[key]).abs().max()
    # The next batch normalisation subtracts whatever a block adds to all pixels of a channel: this gradient is
    # zero but for rounding, so the difference is relative to its neighbour's.
    scale = key.replace("_bn2.bias", "_bn2.weight") if key.endswith("_bn2.bias") else key
    return float(difference / expected[scale].abs().max())


def check_network_against_the_original(check):
    """If efficientnet_pytorch is installed, checks that network.py has its names and its logits."""
    try:
        from efficientnet_pytorch import EfficientNet as Original
    except ImportError:
        return say("efficientnet_pytorch is not installed: network.py is not compared with it")
    variant = check.options.variants[0]
    own = EfficientNet(variant).eval()
    own.load_state_dict(torch.load(check.weights(variant), weights_only=True))
    original = Original.from_name(f"efficientnet-{variant}").eval()
    original.load_state_dict(own.state_dict())
    with torch.no_grad():
        images = smooth(2, VARIANTS[variant][2], torch.Generator().manual_seed(3))
        expected = original(images)
        error = float((own(images) - expected).abs().max() / expected.abs().max())
    say(f"network.py against efficientnet_pytorch, {variant}: {error:.1e}")
    if error > 1e-5:
        raise SystemExit("the logits of network.py differ from those of efficientnet_pytorch")


def driver():
    try:
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        return subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return "unknown"


def words(error):
    return " ".join((str(error) or type(error).__name__).split())[:300]


def write(path, text):
    with open(path + ".partial", "w") as file:
        file.write(text)
    os.replace(path + ".partial", path)


def say(line):
    print(line, file=sys.stderr, flush=True)


def main(options):
    if not options.cpu_only and not torch.cuda.is_available():
        raise SystemExit("gpu-check: torch finds no CUDA device; pass --cpu-only for a dry run")
    if not torch.__version__.startswith("2.11."):
        say(f"warning: effnet needs torch 2.11, found {torch.__version__}")
    options.libtorch = options.libtorch or os.path.join(os.path.dirname(torch.__file__), "lib")
    with tempfile.TemporaryDirectory() as temporary:
        work = os.path.abspath(options.work or temporary)
        os.makedirs(work, exist_ok=True)
        options.output = options.output or os.path.join(work, "GPU.md")
        check = Check(options, work)
        if options.cpu_only:
            check_network_against_the_original(check)
        for part in options.parts:
            if part != "tests" or options.tests:
                getattr(check, part)()
        check.save()
        with open(options.output) as file:
            print(file.read())
        failures = table.failures(check.results)
    for failure in failures:
        say(f"FAILED: {failure}")
    sys.exit(1 if failures else 0)
