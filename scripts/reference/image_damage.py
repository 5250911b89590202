"""Damages images in every way that public reports tell of, with what Pillow makes of them.

    image_damage.py OUT COUNT

OUT receives the damaged files, `NAME.rgb` (Pillow's pixels, where it opens the file), and `cases.tsv`: name, width and
height (0 where Pillow refuses the file), and `mild` for damage of one known kind or `wild` for COUNT files with random
edits, which are the same at every run.
"""

import io
import random
import struct
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps


def scene(width, height):
    generator = np.random.default_rng(7)
    y, x = np.mgrid[0:height, 0:width].astype(float)
    channels = [255 * x / width, 255 * y / height, 127 + 120 * np.sin(x / 5) * np.cos(y / 7)]
    noise = generator.normal(0, 9, (height, width, 3))
    return Image.fromarray(np.clip(np.stack(channels, 2) + noise, 0, 255).astype(np.uint8), "RGB")


def saved(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def markers(jpeg, kind):
    """The positions of a marker."""
    return [at for at in range(len(jpeg) - 1) if jpeg[at] == 0xFF and jpeg[at + 1] == kind]


def with_ids(jpeg, ids):
    """Renames the components, and drops JFIF, so that the colours have to be guessed."""
    jpeg = bytearray(jpeg)
    frame, scan = (markers(jpeg, 0xC0) + markers(jpeg, 0xC2))[0], markers(jpeg, 0xDA)[0]
    for number, name in enumerate(ids):
        jpeg[frame + 10 + 3 * number] = name
        jpeg[scan + 5 + 2 * number] = name
    return bytes(jpeg[:2] + jpeg[20:])


def damaged_jpegs(image):
    plain = saved(image, "JPEG", quality=85)
    rgb = saved(image, "JPEG", quality=90, keep_rgb=True)
    progressive = saved(image, "JPEG", quality=85, progressive=True)
    restarts = saved(image, "JPEG", quality=85, restart_marker_rows=1)
    tables, scan = markers(plain, 0xDB)[0], markers(plain, 0xDA)[0]
    for name, jpeg in (("plain", plain), ("progressive", progressive), ("restarts", restarts)):
        middle = len(jpeg) * 2 // 3
        yield f"{name}-cut.jpg", jpeg[:middle]
        yield f"{name}-no-end.jpg", jpeg[:-2]
        yield f"{name}-premature-end.jpg", jpeg[:middle] + b"\xff\xd9"
        yield f"{name}-byte-lost.jpg", jpeg[:middle] + jpeg[middle + 1:]
        yield f"{name}-zeros.jpg", jpeg[:middle] + bytes(40) + jpeg[middle + 40:]
        yield f"{name}-trailing.jpg", jpeg + b"something else" * 9
        yield f"{name}-bit.jpg", jpeg[:middle] + bytes([jpeg[middle] ^ 16]) + jpeg[middle + 1:]
    for count in (1, 2, 7):
        yield f"junk-{count}.jpg", plain[:tables] + b"\0\1\2\3\4\5\6"[:count] + plain[tables:]
        yield f"fill-{count}.jpg", plain[:tables] + b"\xff" * count + plain[tables:]
        yield f"junk-before-scan-{count}.jpg", plain[:scan] + b"\7" * count + plain[scan:]
    for length in (0, 1, 2):
        yield f"comment-{length}.jpg", plain[:tables] + b"\xff\xfe" + struct.pack(">H", length) + plain[tables:]
    for number, at in enumerate(markers(restarts, 0xD0 + 1)[:2]):
        yield f"restart-lost-{number}.jpg", restarts[:at] + restarts[at + 2:]
        yield f"restart-wrong-{number}.jpg", restarts[:at + 1] + b"\xd5" + restarts[at + 2:]
    for ids in (b"RGB", b"rgb", b"\0\1\2", b"\1\2\3", b"\1\42\43", b"YCc", b"\3\2\1"):
        yield f"ids-{ids.hex()}.jpg", with_ids(rgb, ids)
        yield f"ids-ycc-{ids.hex()}.jpg", with_ids(plain, ids)
    scans = markers(progressive, 0xDA)
    for number, at in enumerate(scans[1:]):
        yield f"scans-{number}.jpg", progressive[:at] + b"\xff\xd9"


def chunks(png):
    at = 8
    while at < len(png):
        end = at + 12 + struct.unpack(">I", png[at:at + 4])[0]
        yield png[at + 4:at + 8], at, end
        at = end


def damaged_pngs(image):
    palette = image.quantize(60)
    for name, png in (("rgb", saved(image, "PNG")), ("palette", saved(palette, "PNG", bits=8))):
        places = {kind: (start, end) for kind, start, end in chunks(png)}
        data, end = places[b"IDAT"], places[b"IEND"]
        for cut in (1, 4, 8, 12, 13, 16, 17, 18, 20, 24, 40, 400):
            yield f"{name}-cut-{cut}.png", png[:len(png) - cut]
        yield f"{name}-wrong-checksum.png", png[:data[1] - 1] + b"\0" + png[data[1]:]
        yield f"{name}-wrong-adler.png", png[:data[1] - 5] + b"\0" + png[data[1] - 4:]
        yield f"{name}-junk-behind.png", png[:end[0]] + b"junk" * 5
        yield f"{name}-header-checksum.png", png[:32] + b"\0" + png[33:]
        if b"PLTE" in places:
            colors = places[b"PLTE"]
            yield f"{name}-missing.png", png[:colors[0]] + png[colors[1]:]
            short = png[colors[0] + 4:colors[0] + 8 + 30]
            chunk = struct.pack(">I", 30) + short + struct.pack(">I", zlib.crc32(short))
            yield f"{name}-short.png", png[:colors[0]] + chunk + png[colors[1]:]


def edited(source, rng):
    data = bytearray(source)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        at = rng.randrange(len(data))
        kind = rng.randrange(5)
        if kind == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[at] = rng.randrange(256)
        elif kind == 2:
            del data[at:at + rng.choice((1, 2, 8, 40))]
        elif kind == 3:
            data[at:at] = rng.randbytes(rng.choice((1, 2, 8)))
        else:
            other = rng.randrange(len(data))
            data[at:at] = data[other:other + rng.choice((2, 10, 60))]
    return bytes(data)


def wild(image, count):
    gray = image.convert("L")
    seeds = [
        ("a.jpg", saved(image, "JPEG", quality=85)),
        ("b.jpg", saved(image, "JPEG", quality=70, progressive=True)),
        ("c.jpg", saved(image, "JPEG", quality=85, restart_marker_blocks=3, subsampling=0)),
        ("d.jpg", saved(gray, "JPEG", quality=95)),
        ("e.jpg", saved(image.convert("CMYK"), "JPEG", quality=85)),
        ("a.png", saved(image, "PNG")),
        ("a.gif", saved(image.quantize(100), "GIF")),
        ("a.webp", saved(image, "WEBP", quality=80)),
    ]
    rng = random.Random(11)
    for number in range(count):
        name, source = seeds[number % len(seeds)]
        yield f"wild-{number}-{name}", edited(source, rng)


def pixels(data):
    try:
        with Image.open(io.BytesIO(data)) as image:
            return ImageOps.exif_transpose(image).convert("RGB")
    except Exception:  # Pillow raises whatever its plugins raise.
        return None


def main():
    out, count = Path(sys.argv[1]), int(sys.argv[2])
    warnings.simplefilter("ignore")
    image = scene(93, 61)
    mild = [*damaged_jpegs(image), *damaged_pngs(image)]
    rows = []
    for kind, files in (("mild", mild), ("wild", wild(image, count))):
        for name, data in files:
            (out / name).write_bytes(data)
            rgb = pixels(data)
            if rgb is not None:
                (out / f"{name}.rgb").write_bytes(rgb.tobytes())
            width, height = rgb.size if rgb else (0, 0)
            rows.append(f"{name}\t{width}\t{height}\t{kind}\n")
    (out / "cases.tsv").write_text("".join(rows))


if __name__ == "__main__":
    main()
