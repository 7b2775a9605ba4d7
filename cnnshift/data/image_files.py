"""Image files: read headers without decoding, and decode, resize and crop images."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from cnnshift.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

FORMATS = {
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg"),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pnm"),
}
"""Supported formats. The suffix decides whether a file is an image; the content decides its format."""

SUFFIXES = tuple(suffix for suffixes in FORMATS.values() for suffix in suffixes)

MAX_PIXELS = 2**26
"""Of one image before it is resized: 8192×8192."""

_GREY = ("1", "L", "LA", "La", "I;16", "I;16L", "I;16B", "I;16N")
_TRANSPOSED = range(5, 9)  # EXIF orientations that exchange rows and columns
_ORIENTATION = 0x0112


class ImageHeader(NamedTuple):
    """Size (H, W) of an image after applying the EXIF orientation, and whether it has one channel besides alpha."""

    size: tuple[int, int]
    grey: bool


def read_header(path: Path) -> ImageHeader:
    """Read the header of an image file.

    Raises:
        InputError: the file is not an image or has more than `MAX_PIXELS`.
    """
    with _open_image(path) as image:
        width, height = image.size
        # Pillow applies the orientation to the size of a TIFF itself.
        transposed = image.format != "TIFF" and image.getexif().get(_ORIENTATION) in _TRANSPOSED
        return ImageHeader((width, height) if transposed else (height, width), image.mode in _GREY)


def decode_images(
    paths: Sequence[Path], shape: tuple[int, int, int], *, resize: bool, background: tuple[int, int, int]
) -> UInt8[np.ndarray, "n h w c"]:
    """Decode image files in parallel, apply their EXIF orientation and convert their colours.

    All images have the shape (h, w, channels), or get it with `resize`, which crops and resizes them to a square.
    Transparent pixels are composited on the RGB value of the background.

    Raises:
        InputError: a file cannot be decoded or has another size.
    """
    height, width, channels = shape
    images = np.empty((len(paths), height, width, channels), np.uint8)

    def decode(index: int) -> None:
        with _open_image(paths[index]) as image:
            converted = _convert(image, channels, background)
            pixels = np.asarray(resize_and_crop(converted, height) if resize else converted)
            images[index] = pixels.reshape(*pixels.shape[:2], channels)

    with ThreadPoolExecutor() as pool:
        list(pool.map(decode, range(len(paths))))  # list raises the first error
    return images


def resize_and_crop(image: Image.Image, side: int) -> Image.Image:
    """Resize the shorter side to `side` pixels with antialiasing, and crop the central square.

    Both are one operation, so that an image of 1×10,000 pixels is never resized to side×(10,000·side).
    """
    from PIL import Image

    width, height = image.size
    short = min(width, height)
    left, top = (width - short) / 2, (height - short) / 2
    if (width, height) == (side, side):
        return image
    return image.resize((side, side), Image.Resampling.BILINEAR, box=(left, top, left + short, top + short))


@contextlib.contextmanager
def _open_image(path: Path) -> Iterator[Image.Image]:
    from PIL import Image

    try:
        if not path.stat().st_size:
            raise InputError(f"{path} is empty (0 bytes); remove or replace it.")
        with Image.open(path, formats=list(FORMATS)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            yield image
    except Image.DecompressionBombError:
        raise InputError(f"{path} has too many pixels; allowed: at most {MAX_PIXELS:,}.") from None
    except InputError:
        raise
    except Image.UnidentifiedImageError:
        raise InputError(f"{path} is not an image; allowed: {', '.join(FORMATS)}.") from None
    except Exception as error:  # Decoders raise various errors on damaged files.
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path} cannot be decoded ({reason}); remove or replace it.") from None


def _convert(image: Image.Image, channels: int, background: tuple[int, int, int]) -> Image.Image:
    """Apply the EXIF orientation, and convert to 8 bits and the number of channels."""
    from PIL import Image, ImageOps

    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):
        # Pillow's conversion would clip values above 255.
        image = Image.fromarray(np.round(np.asarray(image) / 257).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"its pixels have the mode '{image.mode}'; allowed: 8 or 16 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (*background, 255)), image)
    target: Any = "L" if channels == 1 else "RGB"
    return image if image.mode == target else image.convert(target)
