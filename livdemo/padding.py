"""What a file has outside of the picture: mostly air, but some tools write 0 HU there, which is water.

A network has learned that air lies around a body, and calls a frame of water liver. So a frame of one value is taken
for air before anything looks at the scan.
"""

from collections import Counter

import numpy as np
import numpy.typing as npt
from scipy import ndimage

# Air is -1000 HU and lung about -850: every CT of a body has some, an MR or a windowed CT nothing near.
AIR_HU = -500
OUTSIDE_HU = np.int16(-1000)
EDGE_SHARE = 0.1  # of a slice's border that has to have one and the same value
_BLOCK = np.ones((3, 3), bool)  # noise never has so many equal voxels side by side


def without_padding(hu: npt.NDArray[np.int16]) -> tuple[npt.NDArray[np.int16], tuple[str, ...]]:
    """Make the frame around the picture air, in place, slice by slice; (Z, Y, X). Returns it, and a warning if any.

    A frame is all of one value above AIR_HU, at least three voxels wide where it begins, and reaches the slice's
    border. Without air anywhere nothing is changed: then the numbers may be no HU at all, and their 0 may be the
    background of an MR.
    """
    if hu.min() > AIR_HU:
        return hu, ()
    changed: Counter[int] = Counter()
    for plane in hu:
        value = _value_of_the_border(plane)
        if value > AIR_HU:
            outside = _reaching_the_border(plane == value)
            plane[outside] = OUTSIDE_HU
            changed[value] += int(np.count_nonzero(outside))
    values = [value for value, count in changed.items() if count]
    if not values:
        return hu, ()
    listed = " and ".join(str(value) for value in sorted(values)[:3])
    return hu, (f"Around the picture the file has {listed} HU, as soft tissue has: taken for air.",)


def _value_of_the_border(plane: npt.NDArray[np.int16]) -> int:
    """The commonest value along the four sides, or AIR_HU where none is common."""
    border = np.concatenate([plane[0], plane[-1], plane[:, 0], plane[:, -1]])
    values, counts = np.unique(border, return_counts=True)
    return int(values[counts.argmax()]) if counts.max() >= EDGE_SHARE * border.size else AIR_HU


def _reaching_the_border(same: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """What of a mask (Y, X) holds 3×3 blocks and hangs together with the border."""
    wide = ndimage.binary_opening(np.pad(same, 1, mode="edge"), _BLOCK)[1:-1, 1:-1]
    numbers, _ = ndimage.label(wide, _BLOCK)
    at_border = np.concatenate([numbers[0], numbers[-1], numbers[:, 0], numbers[:, -1]])
    frame = np.isin(numbers, at_border[at_border > 0])
    return ndimage.binary_dilation(frame, _BLOCK) & same  # with the corners that no block reaches into
