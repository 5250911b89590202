"""Unpacks libtorch from the wheels in one folder into another, and checks that it loads.

    unpack.py cpu|cuda WHEELS OUT

OUT then contains `torch/` and `nvidia/` laid out as in the wheels, because the libraries find
each other by relative paths, and `link/`, the part that builds use: the same tree, with links to
everything except the CUDA libraries. torch-sys links to libtorch_cuda.so whenever it is next to
libtorch_cpu.so, which doubles the start-up time of every program; effnet loads it at run time,
and only when a GPU is requested.
"""

import ctypes
import re
import shutil
import sys
import zipfile
from pathlib import Path

VERSION = "2.11.0"

# Of torch only the C++ part. The licences of all wheels are kept.
WANTED = re.compile(
    r"torch/(lib/[^/]+\.so(\.\d+)*|include/.*|version\.py)|nvidia/.*|[^/]+\.dist-info/licenses/.*"
)
NOT_FOR_RUST = re.compile(r"torch/lib/lib(torch_python|shm)\.so|.*\.py")
CUDA_LIBRARY = re.compile(r"lib(torch|c10)_cuda.*|libtorch_nvshmem.*|libcaffe2_nvrtc.*")
CPU_NEEDS = re.compile(r"nvidia/[^/]+/lib/lib(cudart|cupti)\.so\..*")


def wanted(name: str, flavour: str) -> bool:
    if name.endswith("/") or not WANTED.fullmatch(name):
        return False
    if name != "torch/version.py" and NOT_FOR_RUST.fullmatch(name):
        return False
    if flavour == "cuda":
        return True
    if name.startswith("nvidia/"):
        return CPU_NEEDS.fullmatch(name) is not None
    return not CUDA_LIBRARY.fullmatch(name.rsplit("/", 1)[-1])


def unpack(wheels: Path, out: Path, flavour: str) -> None:
    for wheel in sorted(wheels.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            for entry in archive.infolist():
                if not wanted(entry.filename, flavour):
                    continue
                path = out / entry.filename
                path.parent.mkdir(parents=True, exist_ok=True)
                # Reading to the end checks the entry's CRC.
                with archive.open(entry) as source, path.open("wb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)
        wheel.unlink()


def make_link_folder(out: Path) -> None:
    lib = out / "link/torch/lib"
    lib.mkdir(parents=True)
    for library in sorted((out / "torch/lib").iterdir()):
        if not CUDA_LIBRARY.fullmatch(library.name):
            # libtorch.so is empty and only names the others, libtorch_cuda.so among them. GNU ld
            # keeps it as a dependency, and then no program would start without CUDA.
            target = library.name.replace("libtorch.so", "libtorch_cpu.so")
            (lib / library.name).symlink_to(f"../../../torch/lib/{target}")
    (out / "link/torch/include").symlink_to("../../torch/include")
    (out / "link/nvidia").symlink_to("../nvidia")
    # torch-sys compares this with the version it was generated for.
    (out / "link/torch/build-version").write_text(f"{VERSION}\n")


def check(out: Path, flavour: str) -> None:
    version = (out / "torch/version.py").read_text()
    if f"'{VERSION}" not in version:
        raise SystemExit(f"the version of the wheels is not {VERSION}:\n{version}")
    if not (out / "link/torch/include/torch/csrc/api/include/torch/torch.h").is_file():
        raise SystemExit("the torch wheel has no C++ headers")
    libraries = ["libc10.so", "libtorch_cpu.so"]
    if flavour == "cuda":
        libraries.append("libtorch_cuda.so")
    for library in libraries:
        try:
            ctypes.CDLL(str(out / "torch/lib" / library), mode=ctypes.RTLD_GLOBAL)
        except OSError as error:
            raise SystemExit(f"{library} cannot be loaded on this machine: {error}") from None


def main() -> None:
    flavour, wheels, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    unpack(wheels, out, flavour)
    make_link_folder(out)
    check(out, flavour)


main()
