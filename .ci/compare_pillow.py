"""Compares what `pixels` makes of pictures with what Pillow makes of them. Called by .ci/compare_pillow.

    compare_pillow.py PIXELS PATH...

A picture that Pillow opens is either shown by us as Pillow shows it, or refused as a kind that is not supported. What
differs from that and is right all the same stands in EXPECTED, with the reason.
"""
import subprocess
import sys
import warnings
from collections import Counter
from pathlib import Path

from PIL import Image, ImageChops, ImageOps

warnings.simplefilter("ignore")
Image.MAX_IMAGE_PIXELS = 50_000_000

MAGICS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"BM")
OURS = {"PNG", "JPEG", "MPO", "WEBP", "BMP", "DIB", "TIFF", "GIF"}

# By name: why we do not agree, in Pillow 13.0.0's own test pictures.
EXPECTED = {
    # Orientation outside of eXIf, which browsers do not heed either.
    "exif_imagemagick_orientation.png": "its orientation is in a text",
    "xmp_tags_orientation.png": "its orientation is in XMP",
    "xmp_tags_orientation_exiftool.png": "its orientation is in XMP",
    # Decoders differ in what they make of chroma beyond the edge of so small a picture.
    "app13.jpg": "4 x 4 pixels with chroma of 2 x 2",
    # Pixels that runs pass over have no colour: ours is black, Pillow's is the first of the palette.
    "pal4rletrns.bmp": "pixels without a colour",
    "pal8rletrns.bmp": "pixels without a colour",
    # Pillow shows what is damaged, or not all there.
    "hopper_bad_exif.jpg": "its data does not belong to its tables",
    "badrle.bmp": "its runs go beyond the picture",
}


def is_ours(path):
    with path.open("rb") as file:
        head = file.read(12)
    return head.startswith(MAGICS) or head[:4] == b"RIFF" and head[8:] == b"WEBP"


def of_pixels(pixels, path):
    """Ours as red, green, blue and alpha; or the reason why there is none."""
    run = subprocess.run([pixels, path], capture_output=True)
    if run.returncode != 0:
        return None, f"CRASHED with {run.returncode}"
    if run.stdout.startswith(b"refused "):
        return None, run.stdout.decode().strip()
    head, data = run.stdout.split(b"ENDHDR\n", 1)
    lines = dict(line.split(" ", 1) for line in head.decode().splitlines()[1:])
    size = int(lines["WIDTH"]), int(lines["HEIGHT"])
    if int(lines["MAXVAL"]) > 255:
        data = data[::2]
    mode = {"1": "L", "2": "LA", "3": "RGB", "4": "RGBA"}[lines["DEPTH"]]
    return Image.frombytes(mode, size, data).convert("RGBA"), ""


def of_pillow(path):
    """Pillow's, or the reason why there is none."""
    try:
        shown = Image.open(path)
        if shown.format not in OURS:
            return None, f"it takes it for {shown.format}"
        key = shown.info.get("transparency") if shown.format == "PNG" else None
        shown.load()
        shown = ImageOps.exif_transpose(shown)
        # It makes neither of these into colours.
        if shown.mode in ("I", "F") or shown.mode in ("1", "I;16", "I;16B") and key is not None:
            return None, f"mode {shown.mode}"
        if shown.mode.startswith("I;16"):
            high = shown.tobytes()[0 if shown.mode == "I;16B" else 1 :: 2]
            shown = Image.frombytes("L", shown.size, high)
        return shown.convert("RGBA"), ""
    except Exception as error:
        return None, f"{type(error).__name__}: {error}"


def difference(ours, theirs):
    """The largest difference of what is seen: colours count as much as their alpha lets them."""
    differences = ImageChops.difference(ours, theirs)
    alpha = theirs.getchannel("A")
    colors = [ImageChops.multiply(band, alpha) for band in differences.split()[:3]]
    return max(band.getextrema()[1] for band in [*colors, differences.getchannel("A")])


def is_lossy(path):
    with path.open("rb") as file:
        head = file.read()
    # JPEG, and JPEG in a TIFF.
    return b"\xff\xd8\xff" in head


def compare(pixels, path):
    """What came of it, and whether that is well."""
    ours, our_reason = of_pixels(pixels, path)
    theirs, their_reason = of_pillow(path)
    if "CRASHED" in our_reason:
        return "crash", False, our_reason
    if ours is None and theirs is None:
        return "refused by both", True, our_reason
    if ours is None:
        supported = "`sealed` takes it" not in our_reason
        return "refused by us", not supported, our_reason
    if theirs is None:
        return "refused by Pillow", True, their_reason
    if ours.size != theirs.size:
        return "another size", False, f"{ours.size} and {theirs.size}"
    most = difference(ours, theirs)
    # Decoders of JPEG round and smooth in their own ways; fewer bits than eight are spread with and without rounding.
    if most <= (6 if is_lossy(path) else 1):
        return "equal" if most == 0 else "close", True, ""
    return "different", False, f"by {most}"


def main():
    pixels, *paths = sys.argv[1:]
    files = []
    for path in map(Path, paths):
        files += sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    files = [file for file in files if is_ours(file)]
    counts = Counter()
    wrong = 0
    for file in files:
        what, well, why = compare(pixels, file)
        counts[what] += 1
        if file.name in EXPECTED and not well:
            counts["expected"] += 1
            continue
        if file.name in EXPECTED:
            well, why = False, "which is no longer expected: take it out of the list"
        if not well:
            wrong += 1
            print(f"{file}: {what}: {why}")
    print(f"{len(files)} pictures: " + ", ".join(f"{count} {what}" for what, count in counts.most_common()))
    if not files:
        sys.exit("no picture was compared")
    if wrong:
        sys.exit(f"{wrong} are not as they should be")


main()
