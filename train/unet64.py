"""U-Net (M12) on the real slices, and how it was trained.

    python -m train unet64 --data DIR --out runs/unet64
    python -m train unet64 --data DIR --start runs/unet64 --out runs/unet64-second
    python -m train.export unet64 runs/unet64-second

Held out: patients A (two small tumours' volumes) and E (almost none) of the six that are fully drawn, and one
in six of the liver-only volumes. D stays in training because it carries nine tenths of all tumour pixels.
The shipped run was begun with a schedule of 20 epochs and shortened to 16 after the ninth, on two busy CPU cores;
it still took muscle for liver on bright scans, so a second, gentler one followed (shortened from 8 to 5 epochs).
"""

from dataclasses import replace

from train.loop import Plan

PLAN = Plan(epochs=16, full_view_epochs=2)
SECOND_PLAN = replace(PLAN, epochs=5, full_view_epochs=0, learning_rate=1e-3)
VALIDATION_PATIENTS = ("A", "E")
UNION_VALIDATION_EVERY = 6
