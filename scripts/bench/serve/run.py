"""Requests per second and latencies of `effnet serve` and of LitServe with ONNX Runtime, interleaved.

    run.py EFFNET LOAD WEIGHTS MODEL.onnx IMAGE... [--seconds S] [--rounds N] [--clients 1,8,64]
        [--effnet "FLAGS"]... [--litserve WORKERS,THREADS,BATCH]...

EFFNET and LOAD are release builds of the program and of the example `load` of effnet-serve. Run it with the Python of
requirements.txt. Each contender runs alone; rounds alternate between them. Prints a line of JSON per run.
"""

import argparse
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).parent


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def wait(port, process):
    for _ in range(600):
        if process.poll() is not None:
            sys.exit(f"the server ended with {process.returncode}")
        try:
            with socket.create_connection(("127.0.0.1", port), 0.2):
                return
        except OSError:
            time.sleep(0.05)
    sys.exit("the server does not start")


def resident(process):
    """Memory of a process and its children in MB."""
    total, todo = 0, [process.pid]
    while todo:
        pid = todo.pop()
        try:
            status = pathlib.Path(f"/proc/{pid}/status").read_text()
            children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
        except OSError:
            continue
        total += next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")), 0)
        todo += map(int, children.split())
    return round(total / 1024, 1)


def main():
    parser = argparse.ArgumentParser()
    for name in ("effnet", "load", "weights", "onnx"):
        parser.add_argument(name)
    parser.add_argument("images", nargs="+")
    parser.add_argument("--seconds", default="8")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--clients", default="1,8,64")
    parser.add_argument("--effnet-flags", action="append", default=[])
    parser.add_argument("--litserve", action="append", default=[])
    arguments = parser.parse_args()
    contenders = [("effnet " + flags, flags.split()) for flags in arguments.effnet_flags]
    contenders += [("litserve " + setting, setting.split(",")) for setting in arguments.litserve]
    for _ in range(arguments.rounds):
        for name, setting in contenders:
            port = free_port()
            if name.startswith("effnet"):
                command = [arguments.effnet, "serve", "--weights", arguments.weights, "--port", str(port), "--quiet"]
                command += setting
                path = "/classify"
            else:
                command = [sys.executable, str(HERE / "litserve_server.py"), arguments.onnx, str(port), *setting]
                path = "/predict"
            # LitServe leaves its workers behind: they are ended as a group.
            server = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
            try:
                wait(port, server)
                load = [arguments.load, f"127.0.0.1:{port}", path]
                # LitServe listens before its workers are ready.
                for _ in range(60):
                    warm = json.loads(subprocess.check_output([*load, "2", "1", *arguments.images]))
                    if warm["requests"] > 5 and not warm["failures"]:
                        break
                for clients in arguments.clients.split(","):
                    found = subprocess.check_output([*load, clients, arguments.seconds, *arguments.images])
                    print(json.dumps({"server": name, **json.loads(found), "resident_mb": resident(server)}), flush=True)
            finally:
                os.killpg(server.pid, signal.SIGTERM)
                server.wait()


main()
