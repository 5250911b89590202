"""Creates small images of every kind that effnet-image reads, with the pixels that Pillow decodes.

    image_formats.py OUT [WIDTH HEIGHT]

OUT receives the images, `NAME.rgb` (the pixels after exif_transpose and convert("RGB"), [height, width, 3]
bytes), `NAME.white.rgb` (the same composited over white, for images with transparency), and `cases.tsv`:
name, width, height, and `white`, `opaque`, or `-` (16-bit grey with a transparent value, where Pillow
compares the value's low byte with clipped grey). `resize-WIDTHxHEIGHT-FILTER.rgb` are resizes of rgb.png.
The fixtures in crates/effnet-image/tests/fixtures were created with `image_formats.py OUT 11 7`.
"""

import io
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def scene(width, height):
    """An RGBA image with gradients, edges and some noise."""
    random = np.random.default_rng(5)
    y, x = np.mgrid[0:height, 0:width].astype(float)
    x, y = x / width, y / height
    channels = [255 * x, 255 * y, 255 * ((x * 3 + y * 2) % 1), 255 * (1 - x * y)]
    noise = random.normal(0, 12, (height, width, 4))
    return Image.fromarray(np.clip(np.stack(channels, 2) + noise, 0, 255).astype(np.uint8), "RGBA")


def saved(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def exif(orientation):
    tags = Image.Exif()
    tags[274] = orientation
    return tags.tobytes()


def png(width, height, depth, color, rows, *, interlaced=False, extra=()):
    """A PNG from packed rows; `rows` maps (x, y, dx, dy) of a pass to the list of its rows."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    body = b""
    for part in ADAM7 if interlaced else ((0, 0, 1, 1),):
        body += b"".join(b"\0" + row for row in rows(*part) if row)
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, int(interlaced))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(chunk(*e) for e in extra)
            + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b""))


def array_png(samples, depth, color, **options):
    """A PNG from a [height, width, channels] array of 8 or 16 bits."""
    kind = ">u2" if depth == 16 else "u1"
    rows = lambda x, y, dx, dy: [row.astype(kind).tobytes() for row in samples[y::dy, x::dx]]
    return png(samples.shape[1], samples.shape[0], depth, color, rows, **options)


def bmp(width, height, bits, rows, *, compression=0, masks=(), palette=b"", raw=None, core=False):
    data = raw if raw is not None else b"".join(row + b"\0" * (-len(row) % 4) for row in rows)
    if core:
        header = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        header = struct.pack("<IiiHHIIIIII", 40, width, height, 1, bits, compression, len(data), 0, 0,
                             len(palette) // 4, 0)
    header += b"".join(struct.pack("<I", mask) for mask in masks) + palette
    offset = 14 + len(header)
    return b"BM" + struct.pack("<IHHI", offset + len(data), 0, 0, offset) + header + data


def tiff(width, height, bits, photometric, data, *, order="<", extra=()):
    """An uncompressed TIFF with one strip. `extra` has additional (tag, type, values)."""
    entries = [(256, 4, [width]), (257, 4, [height]), (258, 3, list(bits)), (259, 3, [1]),
               (262, 3, [photometric]), (273, 4, [8]), (277, 3, [len(bits)]), (278, 4, [height]),
               (279, 4, [len(data)]), *extra]
    entries.sort()
    data += b"\0" * (len(data) % 2)
    directory = struct.pack(order + "H", len(entries))
    after, spill = 8 + len(data) + 2 + 12 * len(entries) + 4, b""
    for tag, kind, values in entries:
        packed = struct.pack(order + {3: "H", 4: "I"}[kind] * len(values), *values)
        if len(packed) > 4:
            packed, spill = struct.pack(order + "I", after + len(spill)), spill + packed
        directory += struct.pack(order + "HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + struct.pack(order + "I", 8 + len(data)) + data + directory + b"\0\0\0\0" + spill


def jpeg_cases(rgba):
    rgb, gray, cmyk = rgba.convert("RGB"), rgba.convert("L"), rgba.convert("CMYK")
    for sampling in ("4:4:4", "4:2:2", "4:2:0"):
        for progressive in (False, True):
            name = f"{sampling.replace(':', '')}{'-progressive' if progressive else ''}.jpg"
            yield name, saved(rgb, "JPEG", subsampling=sampling, progressive=progressive, quality=85)
    yield "gray.jpg", saved(gray, "JPEG")
    yield "gray-progressive.jpg", saved(gray, "JPEG", progressive=True)
    yield "adobe-rgb.jpg", saved(rgb, "JPEG", keep_rgb=True)
    yield "restarts.jpg", saved(rgb, "JPEG", restart_marker_blocks=1)
    yield "cmyk-progressive.jpg", saved(cmyk, "JPEG", progressive=True)
    plain = saved(cmyk, "JPEG", quality=90)
    yield "cmyk.jpg", plain
    adobe = plain.index(b"\xff\xee")
    length = 2 + int.from_bytes(plain[adobe + 2:adobe + 4], "big")
    # The last byte of the Adobe segment is its colour transform; 2 stands for YCCK.
    yield "ycck.jpg", plain[:adobe + length - 1] + b"\2" + plain[adobe + length:]
    yield "cmyk-without-adobe.jpg", plain[:adobe] + plain[adobe + length:]
    for orientation in range(1, 9):
        yield f"exif-{orientation}.jpg", saved(rgb, "JPEG", exif=exif(orientation))
    yield "xmp-6.jpg", saved(rgb, "JPEG", xmp=b'<x tiff:Orientation="6"/>')


def png_cases(rgba):
    rgb, gray, width, height = rgba.convert("RGB"), rgba.convert("L"), *rgba.size
    palette = rgb.quantize(200)
    yield "gray.png", saved(gray, "PNG")
    yield "gray-alpha.png", saved(rgba.convert("LA"), "PNG")
    yield "rgb.png", saved(rgb, "PNG")
    yield "rgba.png", saved(rgba, "PNG")
    yield "palette.png", saved(palette, "PNG")
    yield "palette-transparency.png", saved(palette, "PNG", transparency=bytes(range(150)))
    for bits in (1, 2, 4):
        yield f"palette-{bits}.png", saved(rgb.quantize(1 << bits), "PNG", bits=bits)
    yield "one-bit.png", saved(gray.convert("1"), "PNG")
    yield "gray-transparent-value.png", saved(gray, "PNG", transparency=gray.getpixel((1, 1)))
    yield "rgb-transparent-color.png", saved(rgb, "PNG", transparency=rgb.getpixel((2, 1)))
    yield "exif-6.png", saved(rgb, "PNG", exif=exif(6))
    wide = np.asarray(rgba).astype(np.uint16) * 256 + np.arange(width)[None, :, None] * 9
    yield "rgb-16.png", array_png(wide[..., :3], 16, 2)
    yield "rgba-16.png", array_png(wide, 16, 6)
    yield "gray-alpha-16.png", array_png(wide[..., :2], 16, 4)
    dim = wide[..., :1] // 128
    yield "gray-16.png", array_png(dim, 16, 0)
    yield "gray-16-transparent-value.png", array_png(dim, 16, 0, extra=[(b"tRNS", dim[0, 0].astype(">u2").tobytes())])
    yield "interlaced.png", array_png(np.asarray(rgb), 8, 2, interlaced=True)
    nibbles = np.asarray(gray) // 16
    pack = lambda row: np.concatenate([row, [0] * (len(row) % 2)]).reshape(-1, 2) @ [16, 1]
    for bits, rows in ((4, [bytes(pack(row).astype(np.uint8)) for row in nibbles]),):
        yield f"gray-{bits}.png", png(width, height, bits, 0, lambda *_: rows)
    text = f"\nexif\n{len(exif(3)):8}\n{exif(3).hex()}\n"
    yield "legacy-exif-3.png", array_png(
        np.asarray(rgb), 8, 2, extra=[(b"tEXt", b"Raw profile type exif\0" + text.encode())])


def other_cases(rgba):
    rgb, gray, width, height = rgba.convert("RGB"), rgba.convert("L"), *rgba.size
    palette = rgb.quantize(16)
    for quality in (40, 90):
        yield f"lossy-{quality}.webp", saved(rgb, "WEBP", quality=quality)
    yield "lossless.webp", saved(rgb, "WEBP", lossless=True)
    yield "lossy-alpha.webp", saved(rgba, "WEBP", quality=80)
    yield "lossless-alpha.webp", saved(rgba, "WEBP", lossless=True, exact=True)
    yield "animated.webp", saved(rgb, "WEBP", save_all=True, append_images=[rgb.rotate(180)], lossless=True)
    yield "exif-8.webp", saved(rgb, "WEBP", exif=exif(8), lossless=True)

    yield "palette.gif", saved(palette, "GIF")
    yield "gray.gif", saved(gray, "GIF")
    yield "plain.gif", saved(palette, "GIF", interlace=0)
    yield "transparent.gif", saved(palette, "GIF", transparency=3)
    yield "animated.gif", saved(palette, "GIF", save_all=True, append_images=[palette.rotate(180)])
    for name, options in (("small-frame", {}), ("small-frame-transparent", {"transparency": 2})):
        data = bytearray(saved(palette, "GIF", **options))
        data[6:10] = struct.pack("<HH", width + 4, height + 3)
        yield f"{name}.gif", bytes(data)
    yield from gif_blocks(saved(palette, "GIF", transparency=3))

    for mode in ("1", "L", "P", "RGB", "RGBA"):
        yield f"{mode.lower()}.bmp", saved(palette if mode == "P" else rgba.convert(mode), "BMP")
    values = np.asarray(rgb).astype(np.uint16)[::-1]
    five = lambda channel: values[..., channel] >> 3
    rows_555 = [row.astype("<u2").tobytes() for row in five(0) << 10 | five(1) << 5 | five(2)]
    rows_565 = [row.astype("<u2").tobytes() for row in five(0) << 11 | values[..., 1] >> 2 << 5 | five(2)]
    yield "555.bmp", bmp(width, height, 16, rows_555)
    yield "565.bmp", bmp(width, height, 16, rows_565, compression=3, masks=(0xF800, 0x7E0, 0x1F))
    yield "top-down.bmp", bmp(width, -height, 24, [row.tobytes() for row in np.asarray(rgb)[..., ::-1]])
    indices = np.asarray(palette)[::-1]
    table = bytes(palette.getpalette()).ljust(48, b"\0")[:48]
    quads = b"".join(table[i + 2:i - 1 if i else None:-1] + b"\0" for i in range(0, 48, 3))
    triples = b"".join(quads[i:i + 3] for i in range(0, 64, 4))
    nibbles = [bytes(a << 4 | b for a, b in zip(row[::2], [*row[1::2], 0])) for row in indices.tolist()]
    yield "4-bit.bmp", bmp(width, height, 4, nibbles, palette=quads)
    yield "os2.bmp", bmp(width, height, 4, nibbles, palette=triples, core=True)
    rle8 = b"".join(b"".join(bytes((1, v)) for v in row) + b"\0\0" for row in indices.tolist()[:-1])
    last = bytes(indices[-1].tolist())
    rle8 += bytes((0, width)) + last + b"\0" * (width % 2) + b"\0\1"
    yield "rle8.bmp", bmp(width, height, 8, (), compression=1, palette=quads, raw=rle8)
    rle4 = b"".join(bytes((0, width)) + row + b"\0" * (len(row) % 2) + b"\0\0" for row in nibbles[:-2])
    rle4 += bytes((width, 0x25)) + b"\0\0" + bytes((3, 0x41)) + bytes((0, 2, width - 3, 0)) + b"\0\1"
    yield "rle4.bmp", bmp(width, height, 4, (), compression=2, palette=quads, raw=rle4)


def gif_blocks(sound):
    """What Pillow reads between the palette and the first frame: its own extensions, others, and bytes of no block."""
    palette = 13 + (6 << (sound[10] & 7))
    control = sound.index(b"!\xf9\x04", palette)
    head, rest, comment = sound[:control], sound[control:], b"!\xfe\x03abc\x02de\0"
    for name, data in {
        "zeros": head + bytes(5) + rest,
        "junk": head + b"\x01\x7fjunk" + rest[:8] + b"\0\xff" + rest[8:],
        "comment": head + comment + b"\0" + rest,
        "empty-comment": head + b"!\xfe\0" + rest,
        "empty-extension": head + b"!\x01\0\x02ab\0" + rest,
        "empty-control": head + b"!\xf9\0\x01a\0" + rest,
        "loop": head + b"!\xff\x0bNETSCAPE2.0\x03\x01\0\0\0" + rest,
        "no-loop": head + b"!\xff\x0bNETSCAPE2.0\0\x02ab\0" + rest,
        "two-controls": head + rest[:8] + b"!\xf9\x04\0\0\0\x05\0" + rest[8:],
        "cut-comment": head + rest[:8] + b"!\xfe\x04a" + rest[8:],
    }.items():
        if opens(data):
            yield f"blocks-{name}.gif", data


def opens(data):
    try:
        Image.open(io.BytesIO(data)).load()
    except Exception:  # Pillow raises whatever its plugins raise.
        return False
    return True


def tiff_cases(rgba):
    rgb, gray, width, height = rgba.convert("RGB"), rgba.convert("L"), *rgba.size
    for mode in ("1", "L", "LA", "RGB", "RGBA", "CMYK", "I", "F"):
        yield f"{mode.lower()}.tif", saved(rgba.convert(mode), "TIFF")
    yield "palette.tif", saved(rgb.quantize(100), "TIFF")
    yield "palette-big-endian.tif", saved(rgb.quantize(100), "TIFF", big_tiff=True)
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits"):
        yield f"{compression}.tif", saved(rgb, "TIFF", compression=compression)
    yield "palette-lzw.tif", saved(rgb.quantize(30), "TIFF", compression="tiff_lzw")
    yield "predictor.tif", saved(rgb, "TIFF", compression="tiff_lzw", tiffinfo={317: 2})
    yield "group4.tif", saved(gray.convert("1"), "TIFF", compression="group4")
    yield "big.tif", saved(rgb, "TIFF", big_tiff=True)
    for orientation in (1, 3, 6, 8):
        yield f"orientation-{orientation}.tif", saved(rgb, "TIFF", tiffinfo={274: orientation})
    wide = np.asarray(rgba).astype(np.uint16) * 256 + 77
    for order, name in (("<", "little"), (">", "big")):
        sixteen = lambda array: array.astype(order + "u2").tobytes()
        yield f"rgb-16-{name}.tif", tiff(width, height, (16,) * 3, 2, sixteen(wide[..., :3]), order=order)
        yield f"gray-16-{name}.tif", tiff(width, height, (16,), 1, sixteen(wide[..., 0] // 128), order=order)
    yield "rgba-16.tif", tiff(width, height, (16,) * 4, 2, wide.astype("<u2").tobytes(), extra=[(338, 3, [2])])
    yield "white-is-zero.tif", tiff(width, height, (8,), 0, np.asarray(gray).tobytes())
    yield "white-is-zero-16.tif", tiff(width, height, (16,), 0, (wide[..., 0] // 128).astype("<u2").tobytes())
    yield "premultiplied.tif", tiff(width, height, (8,) * 4, 2, np.asarray(rgba).tobytes(), extra=[(338, 3, [1])])
    bits = np.packbits(np.asarray(gray.convert("1")), axis=1)
    yield "white-is-zero-1.tif", tiff(width, height, (1,), 0, bits.tobytes())
    nibbles = [bytes(a << 4 | b for a, b in zip(row[::2], [*row[1::2], 0])) for row in (np.asarray(gray) // 16).tolist()]
    yield "gray-4.tif", tiff(width, height, (4,), 1, b"".join(nibbles))
    table = [int(v) * 257 for v in np.linspace(0, 255, 48)]
    yield "palette-4.tif", tiff(width, height, (4,), 3, b"".join(nibbles), extra=[(320, 3, table)])


def main():
    out = Path(sys.argv[1])
    width, height = map(int, sys.argv[2:4]) if len(sys.argv) > 2 else (61, 43)
    out.mkdir(parents=True, exist_ok=True)
    rgba = scene(width, height)
    lines = []
    for cases in (jpeg_cases, png_cases, other_cases, tiff_cases):
        for name, data in cases(rgba):
            (out / name).write_bytes(data)
            image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
            transparent = image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info
            (out / f"{name}.rgb").write_bytes(image.convert("RGB").tobytes())
            if transparent and image.mode != "I;16":
                over = image.convert("RGBA")
                white = Image.new("RGB", image.size, "white")
                white.paste(over, mask=over.getchannel("A"))
                (out / f"{name}.white.rgb").write_bytes(white.tobytes())
            kind = "-" if image.mode == "I;16" and transparent else "white" if transparent else "opaque"
            lines.append(f"{name}\t{image.width}\t{image.height}\t{kind}\n")
    for filter in (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.NEAREST):
        for size in ((5, 4), (24, 16), (11, 3), (4, 7), (10, 2), (1, 1)):
            resized = rgba.convert("RGB").resize(size, filter)
            name = f"resize-{size[0]}x{size[1]}-{filter.name.lower()}.rgb"
            (out / name).write_bytes(resized.tobytes())
    (out / "cases.tsv").write_text("".join(lines))


if __name__ == "__main__":
    main()
