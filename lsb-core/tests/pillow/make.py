"""Writes the pictures of this folder, and beside each its pixels as Pillow decodes them.

    .ci/compare_pillow make

Every picture is made here from numbers, so nothing is copied from anywhere. NAME.pam holds the upright pixels of NAME:
red, green, blue and alpha of eight bits. `cargo test -p lsb-core pillow::` compares them with ours, without
Pillow. The pictures in `refused/` are opened by Pillow, and not by us. The same pictures, smaller, are seeds for the
fuzz targets of the decoders.
"""
import io
import struct
import sys
import warnings
import zlib
from pathlib import Path

from PIL import Image, ImageOps, TiffImagePlugin, features

warnings.simplefilter("ignore")
folder = Path(__file__).parent
corpora = folder.parents[2] / "fuzz" / "corpus"
WIDTH, HEIGHT = 19, 13
# Whole units of JPEG, because decoders differ in what they make of those that reach beyond the picture.
WIDE, HIGH = 48, 32
# Whether the pictures are for the fuzzer: tiny, and without pixels beside them.
seeds = False


def pixel(x, y, channel):
    """A picture with edges and slopes, another one in every channel."""
    slopes = (x * 13 + 5, y * 19 + 7, (x + y) * 8)
    edge = 90 if (x // 5 + y // 4 + channel) % 2 else 0
    return (slopes[channel % 3] + edge) % 256


def picture(mode, width=None, height=None):
    width, height = width or WIDTH, height or HEIGHT
    bands = []
    for channel in range(len(Image.new(mode, (1, 1)).getbands()) if mode not in ("1", "P", "I;16") else 1):
        band = Image.new("L", (width, height))
        values = [pixel(x, y, channel) for y in range(height) for x in range(width)]
        if mode in ("RGBA", "LA") and channel == len(Image.new(mode, (1, 1)).getbands()) - 1:
            values = [(0, 255, 255, 128)[(value // 7) % 4] for value in values]
        band.putdata(values)
        bands.append(band)
    if mode == "L":
        return bands[0]
    if mode == "1":
        return bands[0].point(lambda value: 255 if value > 127 else 0).convert("1")
    if mode == "P":
        return picture("RGB", width, height).quantize(50)
    if mode == "I;16":
        deep = Image.new("I;16", (width, height))
        deep.putdata([pixel(x, y, 0) * 256 + x * y % 256 for y in range(height) for x in range(width)])
        return deep
    return Image.merge(mode, bands)


def upright(file):
    """What Pillow shows, as red, green, blue and alpha."""
    shown = Image.open(io.BytesIO(file))
    shown.load()
    shown = ImageOps.exif_transpose(shown)
    if shown.mode.startswith("I;16"):
        high = shown.tobytes()[0 if shown.mode == "I;16B" else 1 :: 2]
        shown = Image.frombytes("L", shown.size, high)
    return shown.convert("RGBA")


def pam(shown):
    header = f"P7\nWIDTH {shown.width}\nHEIGHT {shown.height}\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\nENDHDR\n"
    return header.encode() + shown.tobytes()


made = []


def write(name, file, as_if=None):
    """Writes a file, and its pixels or those of another one that differs in nothing that is seen."""
    if seeds:
        formats = {".jpg": "jpeg", ".tif": "tiff"}
        ending = Path(name).suffix
        corpus = corpora / f"decode_{formats.get(ending, ending[1:])}"
        corpus.mkdir(exist_ok=True)
        (corpus / f"made-{Path(name).stem}").write_bytes(file)
        return
    (folder / name).write_bytes(file)
    (folder / f"{name}.pam").write_bytes(pam(upright(as_if or file)))
    made.append(name)


def refused(name, file):
    if seeds:
        return write(name, file)
    upright(file)
    (folder / "refused" / name).write_bytes(file)


def saved(picture, format, **options):
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def exif(orientation, kind="H", order=">"):
    """With the orientation as a short number, which the specification asks for, or as a number of another kind."""
    value = struct.pack(order + kind, orientation).ljust(4, b"\0")
    magic = b"MM" if order == ">" else b"II"
    number = {"H": 3, "I": 4, "h": 8, "i": 9}[kind]
    return magic + struct.pack(order + "HIHHHI", 42, 8, 1, 0x112, number, 1) + value + b"\0\0\0\0"


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def more_data(whole):
    """With bytes behind the last row, inside of the packed data."""
    start = whole.index(b"IDAT")
    length = struct.unpack_from(">I", whole, start - 4)[0]
    rows = zlib.decompress(whole[start + 4 : start + 4 + length])
    return whole[: start - 4] + chunk(b"IDAT", zlib.compress(rows + bytes(50))) + whole[start + 8 + length :]


def png():
    for mode in ("1", "L", "LA", "RGB", "RGBA", "P", "I;16"):
        write(f"{mode.replace(';', '')}.png", saved(picture(mode), "PNG"))
    write("P-2-bits.png", saved(picture("RGB").quantize(4), "PNG", bits=2))
    write("P-key.png", saved(picture("P"), "PNG", transparency=7))
    write("P-alpha.png", saved(picture("P"), "PNG", transparency=bytes(range(0, 250, 5))))
    write("RGB-key.png", saved(picture("RGB"), "PNG", transparency=picture("RGB").getpixel((3, 3))))
    whole = saved(picture("RGB"), "PNG")
    data = whole.index(b"IDAT") - 4
    write("orientation.png", whole[:data] + chunk(b"eXIf", exif(6)) + whole[data:])
    for kind, name in (("I", "long"), ("h", "signed"), ("i", "long-signed")):
        other = chunk(b"eXIf", exif(6, kind, "<"))
        write(f"orientation-{name}.png", whole[:data] + other + whole[data:])
    write("text-before-the-header.png", whole[:8] + chunk(b"tEXt", b"Title\0a text") + whole[8:], whole)
    more = chunk(b"tEXt", b"Title\0a text") + chunk(b"IDAT", b"more")
    write("data-in-two-places.png", whole[:-12] + more + whole[-12:], whole)
    write("stray-bytes-behind-pixels.png", whole[:-12] + b"\0\0\0\0" + whole[-12:], whole)
    write("no-end.png", whole[:-12], whole)
    write("half-an-end.png", whole[:-7], whole)
    text = bytearray(chunk(b"tEXt", b"Title\0a text"))
    text[-1] ^= 1
    write("wrong-checksum-of-text.png", whole[:data] + bytes(text) + whole[data:], whole)
    gamma = bytearray(chunk(b"gAMA", b"\0\0\xb1\x8f"))
    gamma[-1] ^= 1
    write("wrong-checksum-of-gamma.png", whole[:data] + bytes(gamma) + whole[data:], whole)
    write("wrong-checksum-of-end.png", whole[:-1] + b"?", whole)
    write("palette-of-ten-bytes.png", whole[:data] + chunk(b"PLTE", bytes(10)) + whole[data:], whole)
    write("too-much-data.png", more_data(whole), whole)
    write("empty-data.png", whole[:data] + chunk(b"IDAT", b"") + whole[data:])
    write("bytes-behind.png", whole + b"behind the end")
    frames = [picture("RGB"), picture("RGB").transpose(Image.Transpose.ROTATE_180)]
    write("animated.png", saved(frames[0], "PNG", save_all=True, append_images=frames[1:]))


def jpeg():
    for name, mode, options in [
        ("L", "L", {}),
        ("444", "RGB", {"subsampling": 0}),
        ("422", "RGB", {"subsampling": 1}),
        ("420", "RGB", {"subsampling": 2}),
        ("progressive", "RGB", {"progressive": True, "subsampling": 2}),
        ("progressive-restart", "RGB", {"progressive": True, "restart_marker_blocks": 1}),
        ("restart", "RGB", {"restart_marker_blocks": 1, "subsampling": 2}),
        ("optimised", "RGB", {"optimize": True, "quality": 30}),
        ("kept-rgb", "RGB", {"keep_rgb": True}),
        ("CMYK", "CMYK", {"subsampling": 0}),
        ("orientation", "RGB", {"exif": b"Exif\0\0" + exif(8)}),
        ("orientation-long", "RGB", {"exif": b"Exif\0\0" + exif(8, "I")}),
        ("orientation-twice", "RGB", {"exif": b"Exif\0\0Exif\0\0" + exif(8, "H", "<")}),
    ]:
        write(f"{name}.jpg", saved(picture(mode, WIDE, HIGH), "JPEG", **{"quality": 50 if seeds else 90, **options}))
    whole = saved(picture("RGB", WIDE, HIGH), "JPEG", quality=90, subsampling=0)
    write("no-end.jpg", whole[:-2], whole)
    frame = whole.index(b"\xff\xc0")
    write("stray-bytes.jpg", whole[:frame] + b"\0\0\7" + whole[frame:], whole)
    write("short-adobe.jpg", whole[:frame] + b"\xff\xee\0\x07Adobe" + whole[frame:], whole)
    short = b"".join(
        b"\xff" + bytes([marker]) + struct.pack(">H", len(content) + 2) + content
        for marker, content in [
            (0xE1, b"http://ns.adobe.com/xmp/extension/\0short"),
            (0xE2, b"urn:iso:std:iso:ts:21496:-1\0short"),
            (0xE2, b"MPF\0short"),
            (0xED, b"Photoshop 3.0\x00short"),
        ]
    )
    write("short-segments.jpg", whole[:frame] + short + whole[frame:], whole)
    write("bytes-behind.jpg", whole + b"behind the end")
    # JFIF allows nothing else than luma and chroma, whatever Adobe's marker and the components' names say.
    adobe = [b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + bytes([colors]) for colors in range(2)]
    write("jfif-and-adobe.jpg", whole[:frame] + adobe[0] + whole[frame:])
    write("jfif-and-names.jpg", named(whole, b"RGB"))
    without = whole[:2] + whole[20:]
    frame = without.index(b"\xff\xc0")
    for colors in range(2):
        write(f"adobe-{colors}.jpg", without[:frame] + adobe[colors] + without[frame:])
        write(f"adobe-{colors}-and-names.jpg", named(without[:frame] + adobe[colors] + without[frame:], b"RGB"))
    write("names.jpg", named(without, b"RGB"))
    write("other-names.jpg", named(without, b"abc"))
    grey = saved(picture("L", WIDE, HIGH), "JPEG", quality=90)
    frame = grey.index(b"\xff\xc0")
    # One component alone is never interleaved, so its sampling factors say nothing.
    write("L-sampling.jpg", grey[: frame + 11] + b"\x22" + grey[frame + 12 :])


def named(whole, names):
    """With other numbers for its components."""
    frame, scan = whole.index(b"\xff\xc0"), whole.index(b"\xff\xda")
    other = bytearray(whole)
    for place, name in enumerate(names):
        other[frame + 10 + 3 * place] = other[scan + 5 + 2 * place] = name
    return bytes(other)


def webp():
    for mode in ("RGB", "RGBA"):
        write(f"lossless-{mode}.webp", saved(picture(mode), "WEBP", lossless=True, exact=True))
        write(f"lossy-{mode}.webp", saved(picture(mode), "WEBP", quality=80, exact=True))
    for name, prefix in (("", b""), ("-prefix", b"Exif\0\0")):
        write(f"orientation{name}.webp", saved(picture("RGB"), "WEBP", lossless=True, exif=prefix + exif(6)))
    frames = [picture("RGB"), picture("RGB").transpose(Image.Transpose.ROTATE_180)]
    write("animated.webp", saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True))
    whole = bytearray(saved(picture("RGB"), "WEBP", lossless=True, exif=exif(6)))
    whole[20] &= 0xF7
    write("orientation-not-announced.webp", bytes(whole))
    whole = saved(picture("RGBA"), "WEBP", quality=80)
    alpha = whole.index(b"ALPH")
    alpha_bytes = struct.unpack_from("<I", whole, alpha + 4)[0]
    without = whole[:alpha] + whole[alpha + 8 + alpha_bytes + alpha_bytes % 2 :]
    write("no-alpha.webp", without[:4] + struct.pack("<I", len(without) - 8) + without[8:])
    whole = saved(picture("RGB"), "WEBP", lossless=True, exif=exif(1))
    # The length counts metadata that is cut off.
    write("cut-metadata.webp", whole[:-9], whole)


def gif():
    write("P.gif", saved(picture("P"), "GIF", interlace=0))
    write("interlaced.gif", saved(picture("P"), "GIF", interlace=1))
    write("L.gif", saved(picture("L"), "GIF"))
    write("key.gif", saved(picture("P"), "GIF", transparency=7))
    write("no-end.gif", saved(picture("P"), "GIF")[:-1], saved(picture("P"), "GIF"))
    write("no-end-of-data.gif", saved(picture("P"), "GIF")[:-2], saved(picture("P"), "GIF"))
    whole = saved(picture("L"), "GIF")
    colors = 3 << ((whole[10] & 7) + 1)
    write("no-colors.gif", whole[:10] + bytes([whole[10] & 0x78]) + whole[11:13] + whole[13 + colors :])
    whole = saved(picture("P"), "GIF")
    image = whole.index(b",", 13 + (3 << ((whole[10] & 7) + 1)))
    write("stray-bytes.gif", whole[:image] + b"\0\xff\7" + whole[image:], whole)
    write("unknown-block.gif", whole[:image] + b"!\x99\x03abc\0" + whole[image:], whole)
    write("no-screen.gif", whole[:6] + bytes(4) + whole[10:])
    write("small-screen.gif", whole[:6] + struct.pack("<HH", 5, 9) + whole[10:])
    frames = [picture("P"), picture("P").transpose(Image.Transpose.ROTATE_180)]
    write("animated.gif", saved(frames[0], "GIF", save_all=True, append_images=frames[1:]))


def bmp():
    for mode in ("1", "L", "P", "RGB", "RGBA"):
        write(f"{mode}.bmp", saved(picture(mode), "BMP"))
    whole = bytearray(saved(picture("P"), "BMP"))
    header = 14 + struct.unpack_from("<I", whole, 14)[0]
    struct.pack_into("<I", whole, 10, header)
    write("palette-left-out.bmp", bytes(whole), saved(picture("P"), "BMP"))
    struct.pack_into("<I", whole, 10, 0)
    write("no-place.bmp", bytes(whole), saved(picture("P"), "BMP"))
    write("no-filling.bmp", saved(picture("P"), "BMP")[:-1], saved(picture("P"), "BMP"))
    whole = bytearray(saved(picture("RGB"), "BMP"))
    struct.pack_into("<H", whole, 26, 3)
    write("planes.bmp", bytes(whole), saved(picture("RGB"), "BMP"))
    write("rows-from-the-top.bmp", rows_from_the_top())
    write("os2.bmp", short_header(12))
    write("os2-2.bmp", short_header(64))
    write("runs.bmp", runs(HEIGHT))
    write("runs-from-the-top.bmp", runs(-HEIGHT), saved(runs_shown(), "PNG"))


def indices():
    return [[(x + y * 3) % 16 for x in range(WIDTH)] for y in range(HEIGHT)]


def palette(entry_bytes):
    colors = ([pixel(index, index * 5, channel) for channel in range(3)] for index in range(16))
    return b"".join(bytes(color) + b"\0" * (entry_bytes - 3) for color in colors)


def bitmap(header, palette, rows):
    place = 14 + len(header) + len(palette)
    return b"BM" + struct.pack("<IHHI", place + len(rows), 0, 0, place) + header + palette + rows


def row_bytes(row):
    return bytes(row) + b"\0" * (-len(row) % 4)


def rows_from_the_top():
    header = struct.pack("<IiiHHIIiiII", 40, WIDTH, -HEIGHT, 1, 8, 0, 0, 0, 0, 16, 0)
    return bitmap(header, palette(4), b"".join(map(row_bytes, indices())))


def short_header(length):
    rows = b"".join(map(row_bytes, reversed(indices())))
    if length == 12:
        colors = palette(3) + bytes(3 * 240)
        return bitmap(struct.pack("<IHHHH", 12, WIDTH, HEIGHT, 1, 8), colors, rows)
    header = struct.pack("<IiiHHIIiiII", length, WIDTH, HEIGHT, 1, 8, 0, 0, 0, 0, 16, 0)
    return bitmap(header + bytes(length - 40), palette(4), rows)


def runs(height):
    rows = indices() if height < 0 else reversed(indices())
    data = b"".join(b"".join(bytes([1, index]) for index in row) + b"\0\0" for row in rows) + b"\0\1"
    return bitmap(struct.pack("<IiiHHIIiiII", 40, WIDTH, height, 1, 8, 1, len(data), 0, 0, 16, 0), palette(4), data)


def runs_shown():
    return upright(rows_from_the_top()).convert("RGB")


def tiff_file(tags, strips, big_endian=False, big=False):
    """A TIFF of the given lines, strips or tiles, one behind the other."""
    order = ">" if big_endian else "<"
    offset_kind, word = (16, "Q") if big else (4, "I")
    data_at = 16 if big else 8
    offsets = []
    data = b""
    for strip in strips:
        offsets.append(data_at + len(data))
        data += strip + b"\0" * (len(strip) % 2)
    places, counts = (324, 325) if 322 in tags else (273, 279)
    tags = {**tags, places: (offset_kind, offsets), counts: (4, [len(strip) for strip in strips])}
    letters = {1: "B", 3: "H", 4: "I", 5: "II", 16: "Q"}
    extra_at = data_at + len(data)
    extra = b""
    lines = b""
    for tag in sorted(tags):
        kind, values = tags[tag] if isinstance(tags[tag], tuple) else (3, [tags[tag]])
        value = b"".join(struct.pack(order + letters[kind], entry) for entry in values)
        lines += struct.pack(order + "HH" + word, tag, kind, len(values))
        room = struct.calcsize(word)
        if len(value) <= room:
            lines += value + b"\0" * (room - len(value))
        else:
            lines += struct.pack(order + word, extra_at + len(extra))
            extra += value + b"\0" * (len(value) % 2)
    directory = struct.pack(order + ("Q" if big else "H"), len(tags)) + lines + b"\0" * struct.calcsize(word)
    magic = b"MM" if big_endian else b"II"
    header = magic + (
        struct.pack(order + "HHHQ", 43, 8, 0, extra_at + len(extra)) if big else struct.pack(order + "HI", 42, extra_at + len(extra))
    )
    return header + data + extra + directory


def packed(rows, bits):
    """Rows of numbers of so many bits, each filled up to a byte."""
    result = b""
    for row in rows:
        text = "".join(f"{value:0{bits}b}" for value in row)
        text += "0" * (-len(text) % 8)
        result += bytes(int(text[at : at + 8], 2) for at in range(0, len(text), 8))
    return result


def lzw_without_end(data):
    """Each byte as a code of its own, with a new table before codes grow longer, and no end code."""
    codes = []
    for place, byte in enumerate(data):
        codes += [256, byte] if place % 200 == 0 else [byte]
    return packed([codes], 9)


def tiff_lines(bits, kind, samples=1, **more):
    lines = {256: WIDTH, 257: HEIGHT, 258: (3, [bits] * samples), 259: 1, 262: kind, 277: samples, 278: HEIGHT}
    return {**lines, **{int(tag[1:]): value for tag, value in more.items()}}


def tiff():
    modes = ("1", "L", "P", "RGB", "RGBA", "CMYK", "LA", "I;16")
    for mode in modes:
        write(f"{mode.replace(';', '')}.tif", saved(picture(mode), "TIFF"))
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits"):
        for mode in ("L", "P", "RGB", "RGBA"):
            write(f"{mode}-{compression}.tif", saved(picture(mode), "TIFF", compression=compression))
    write("predictor.tif", saved(picture("RGB"), "TIFF", compression="tiff_lzw", tiffinfo={317: 2}))
    write("group4.tif", saved(picture("1"), "TIFF", compression="group4"))
    write("jpeg.tif", saved(picture("RGB", WIDE, HIGH), "TIFF", compression="jpeg", quality=90))
    write("jpeg-L.tif", saved(picture("L", WIDE, HIGH), "TIFF", compression="jpeg", quality=90))
    write("big.tif", saved(picture("RGB"), "TIFF", big_tiff=True))
    write("orientation.tif", saved(picture("RGB"), "TIFF", tiffinfo={274: 6}))
    write("orientation-long.tif", tiff_file(tiff_lines(8, 2, 3, _274=(4, [6])), [picture("RGB").tobytes()]))
    for bits in (2, 4):
        values = [[pixel(x, y, 0) >> (8 - bits) for x in range(WIDTH)] for y in range(HEIGHT)]
        for kind in (0, 1):
            write(f"L-{bits}-bits-{kind}.tif", tiff_file(tiff_lines(bits, kind), [packed(values, bits)], bits == 4))
        colors = [pixel(index, index * 5, channel) * 257 for channel in range(3) for index in range(1 << bits)]
        write(f"P-{bits}-bits.tif", tiff_file(tiff_lines(bits, 3, _320=(3, colors)), [packed(values, bits)]))
    grey = [bytes(pixel(x, y, 0) for x in range(WIDTH)) for y in range(HEIGHT)]
    write("white-is-zero.tif", tiff_file(tiff_lines(8, 0), [b"".join(grey)]))
    # One number for all samples, and none of the numbers of rows.
    lines = tiff_lines(8, 2, 3, _258=8)
    del lines[278]
    write("one-depth.tif", tiff_file(lines, [picture("RGB").tobytes()], True), saved(picture("RGB"), "PNG"))
    turned = bytes(int(f"{byte:08b}"[::-1], 2) for byte in picture("1").tobytes())
    write("fill-order.tif", tiff_file(tiff_lines(1, 1, _266=2), [turned]))
    premultiplied = picture("RGBA").convert("RGBa").tobytes()
    write("associated.tif", tiff_file(tiff_lines(8, 2, 4, _338=1), [premultiplied]))
    write("unspecified.tif", tiff_file(tiff_lines(8, 2, 4, _338=0), [picture("RGBA").tobytes()]))
    planes = [band.tobytes() for band in picture("RGB").split()]
    write("planes.tif", tiff_file(tiff_lines(8, 2, 3, _284=2), planes))
    tiles = []
    for band in picture("RGB").split():
        wide = Image.new("L", (32, 16))
        wide.paste(band)
        tiles += [wide.crop((x, 0, x + 16, 16)).tobytes() for x in (0, 16)]
    lines = {tag: value for tag, value in tiff_lines(8, 2, 3).items() if tag != 278}
    write("planes-in-tiles.tif", tiff_file({**lines, 284: 2, 322: 16, 323: 16}, tiles))
    tiles = []
    for x in range(0, WIDTH, 16):
        tile = Image.new("L", (16, 16))
        tile.paste(picture("L").crop((x, 0, min(x + 16, WIDTH), HEIGHT)))
        tiles.append(lzw_without_end(tile.tobytes()))
    lines = {tag: value for tag, value in tiff_lines(8, 1).items() if tag != 278}
    write("lzw-without-end.tif", tiff_file({**lines, 259: 5, 322: 16, 323: 16}, tiles))
    strips = [picture("L").crop((0, y, WIDTH, min(y + 5, HEIGHT))).tobytes() for y in range(0, HEIGHT, 5)]
    write("strips.tif", tiff_file(tiff_lines(8, 1, _278=5), strips, True))
    write("more-pages.tif", saved(picture("P"), "TIFF", save_all=True, append_images=[picture("1")]))
    loop = bytearray(saved(picture("P"), "TIFF"))
    directory = struct.unpack_from("<I", loop, 4)[0]
    lines = struct.unpack_from("<H", loop, directory)[0]
    struct.pack_into("<I", loop, directory + 2 + 12 * lines, directory)
    write("loop.tif", bytes(loop), saved(picture("P"), "TIFF"))


def not_ours():
    lab = Image.merge("RGB", picture("RGB").split())
    refused("lab.tif", tiff_file(tiff_lines(8, 8, 3), [lab.tobytes()]))
    refused("lzma.tif", saved(picture("RGB"), "TIFF", compression="lzma"))
    refused("group3.tif", saved(picture("1"), "TIFF", compression="group3"))
    refused("huffman.tif", saved(picture("1"), "TIFF", compression="tiff_ccitt"))
    floats = Image.new("F", (WIDTH, HEIGHT))
    refused("float.tif", saved(floats, "TIFF"))


if __name__ == "__main__":
    for feature in ("libtiff", "jpg", "webp"):
        if not features.check(feature):
            sys.exit(f"this Pillow was built without {feature}")
    for old in folder.rglob("*"):
        if old.is_file() and old.suffix not in (".py", ".md"):
            old.unlink()
    (folder / "refused").mkdir(exist_ok=True)
    for make in (png, jpeg, webp, gif, bmp, tiff, not_ours):
        make()
    for old in corpora.glob("decode_*/made-*"):
        old.unlink()
    seeds = True
    WIDTH, HEIGHT, WIDE, HIGH = 7, 5, 16, 16
    for make in (png, jpeg, webp, gif, bmp, tiff, not_ours):
        make()
    print(f"{len(made)} pictures")
