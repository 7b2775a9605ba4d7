"""Image files: what they are without decoding them, and their pixels, resized and cropped."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
"""The formats that are read, whatever the file is called, and the suffixes that make a file an image."""

SUFFIXES = tuple(suffix for suffixes in FORMATS.values() for suffix in suffixes)

MAX_PIXELS = 2**26
"""Of one image before it is resized: 8192×8192."""

_GREY = ("1", "L", "LA", "La", "I;16", "I;16L", "I;16B", "I;16N")
_TURNED = range(5, 9)  # orientations whose rows are columns
_ORIENTATION = 0x0112


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of its image before it is decoded.

    Attributes:
        size: (H, W), upright.
        grey: whether it has one channel, an alpha channel aside.
    """

    size: tuple[int, int]
    grey: bool


def read_header(path: Path) -> Header:
    """Read the header of an image file.

    Raises:
        InputError: not an image, or a decompression bomb.
    """
    with _opened(path) as image:
        width, height = image.size
        # Pillow has turned the size of a TIFF already.
        turned = image.format != "TIFF" and image.getexif().get(_ORIENTATION) in _TURNED
        return Header((width, height) if turned else (height, width), image.mode in _GREY)


def decode_all(
    paths: Sequence[Path], shape: tuple[int, int, int], *, resize: bool, matte: tuple[int, int, int]
) -> UInt8[np.ndarray, "n h w c"]:
    """Decode image files, upright; several at once.

    Args:
        paths: the files.
        shape: (h, w, channels) of every image; colours become grey or grey becomes colour as the channels ask.
        resize: whether images are brought to that size, which then is a square; else they must have it.
        matte: the colour behind what is transparent.

    Raises:
        InputError: a file that cannot be decoded, or of another size.
    """
    height, width, channels = shape
    images = np.empty((len(paths), height, width, channels), np.uint8)

    def decode(index: int) -> None:
        with _opened(paths[index]) as image:
            upright = _in_channels(_upright(image), channels, matte)
            pixels = np.asarray(square(upright, height) if resize else upright)
            images[index] = pixels.reshape(*pixels.shape[:2], channels)

    with ThreadPoolExecutor() as pool:
        # list: the first problem is raised here.
        list(pool.map(decode, range(len(paths))))
    return images


def square(image: Image.Image, side: int) -> Image.Image:
    """The shorter side resized to `side` with antialiasing, and the centre of the longer one.

    In one step: an image of 1×10000 pixels would otherwise become a gigantic one.
    """
    from PIL import Image

    width, height = image.size
    short = min(width, height)
    left, top = (width - short) / 2, (height - short) / 2
    if (width, height) == (side, side):
        return image
    return image.resize((side, side), Image.Resampling.BILINEAR, box=(left, top, left + short, top + short))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    from PIL import Image

    try:
        if not path.stat().st_size:
            raise InputError(f"{path} is empty (0 bytes); remove it, or replace it by an image.")
        with Image.open(path, formats=list(FORMATS)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            yield image
    except Image.DecompressionBombError:
        raise InputError(f"{path} says that it has too many pixels; allowed: at most {MAX_PIXELS:,}.") from None
    except InputError:
        raise
    except Image.UnidentifiedImageError:
        raise InputError(f"{path} is not an image; allowed: {', '.join(FORMATS)}.") from None
    except Exception as error:  # damage surfaces as whatever the decoder of that format raises
        why = getattr(error, "strerror", None) or error
        raise InputError(f"{path} cannot be decoded ({why}); remove it, or replace it by an image.") from None


@contextlib.contextmanager
def no_warnings() -> Iterator[None]:
    """Ignore what decoders say of unusual files: what is wrong is an error here. Not for threads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _upright(image: Image.Image) -> Image.Image:
    from PIL import ImageOps

    return ImageOps.exif_transpose(image)


def _in_channels(image: Image.Image, channels: int, matte: tuple[int, int, int]) -> Image.Image:
    from PIL import Image

    if image.mode.startswith("I;16"):
        # Pillow's own conversion cuts off what is above 255.
        image = Image.fromarray(np.round(np.asarray(image) / 257).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"its pixels are of the kind '{image.mode}'; allowed: 8 or 16 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (*matte, 255)), image)
    target: Any = "L" if channels == 1 else "RGB"
    return image if image.mode == target else image.convert(target)
