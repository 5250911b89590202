"""Runs two loaders in turns and prints the medians of their images per second.

    loader.py ROUNDS FOLDER BATCH_SIZE WORKERS IMAGES BINARY
"""

import os
import statistics
import subprocess
import sys


def main():
    rounds, folder, batch_size, workers, images, binary = sys.argv[1:]
    options = [folder, batch_size, workers, images]
    peer = os.path.join(os.path.dirname(os.path.abspath(__file__)), "torchvision_loader.py")
    commands = {"effnet": [binary, *options], "torchvision": [sys.executable, peer, *options]}
    running = {name: subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
               for name, command in commands.items()}
    rates = {name: [] for name in running}
    # The first turn warms the caches and starts the workers.
    for turn in range(int(rounds) + 1):
        for name, process in running.items():
            process.stdin.write("\n")
            process.stdin.flush()
            rate = float(process.stdout.readline())
            if turn:
                rates[name].append(rate)
    for process in running.values():
        process.stdin.close()
        process.wait()
    for name, values in rates.items():
        print(f"{name:12} {statistics.median(values):8.1f} images/s  ({min(values):.1f} to {max(values):.1f})")
    print(f"ratio of the medians {statistics.median(rates['effnet']) / statistics.median(rates['torchvision']):.2f}")


if __name__ == "__main__":
    main()
