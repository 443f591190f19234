"""Pictures for tests of the audit: random textures, and copies of them."""

import io

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter


def texture(seed: int, size: int = 96) -> Image.Image:
    """Return a random picture with structure at several scales, on a background that all share."""
    draw = np.random.default_rng(seed)
    layers = [gaussian_filter(draw.normal(size=(size, size)), scale) * scale for scale in (1.5, 4, 10)]
    shade = np.hypot(*np.meshgrid(*[np.linspace(-1, 1, size)] * 2))
    grey = 128 + 60 * np.clip(sum(layers), -1.5, 1.5) - 50 * shade
    return Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8)).convert("RGB")


def encoded(image: Image.Image, quality: int) -> Image.Image:
    """Return the image after a round trip through JPEG."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return Image.open(io.BytesIO(stream.getvalue())).convert("RGB")


def cropped(image: Image.Image, share: float, left: float, top: float) -> Image.Image:
    """Return a window of `share` of each side; `left` and `top` are shares of what is cut off."""
    width, height = round(image.width * share), round(image.height * share)
    x, y = round((image.width - width) * left), round((image.height - height) * top)
    return image.crop((x, y, x + width, y + height))


TWINS = {
    "re-encoded at quality 60": lambda image: encoded(image, 60),
    "halved": lambda image: image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS),
    "cropped by 5 % at the upper left": lambda image: encoded(cropped(image, 0.95, 1, 1), 90),
    "cropped by 5 % off centre": lambda image: encoded(cropped(image, 0.95, 0.25, 0.6), 90),
    "cropped on one side": lambda image: image.crop((0, 0, round(0.95 * image.width), image.height)),
    "brighter": lambda image: image.point(lambda value: min(255, int(1.2 * value + 10))),
}
