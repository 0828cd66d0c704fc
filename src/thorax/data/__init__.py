"""What there is: listing, parting and decoding of the images, with no training framework."""

from thorax.data.cache import Cache, default_folder
from thorax.data.exclusions import leave_out
from thorax.data.fill import fill_cache
from thorax.data.fingerprint import fingerprint
from thorax.data.manifest import LeftOut, Manifest
from thorax.data.pick import pick
from thorax.data.sources import KERMANY, fetch_kermany, load_dataset, verify_kermany
from thorax.data.split import limit, part

__all__ = [
    "KERMANY",
    "Cache",
    "LeftOut",
    "Manifest",
    "default_folder",
    "fetch_kermany",
    "fill_cache",
    "fingerprint",
    "leave_out",
    "limit",
    "load_dataset",
    "part",
    "pick",
    "verify_kermany",
]
