"""U-Net (M12) on the real slices, and how it was trained.

    python -m train unet64 --data DIR --out runs/unet64
    python -m train.export unet64 runs/unet64

Held out: patients A (two small tumours' volumes) and E (almost none) of the six that are fully drawn, and one
in six of the liver-only volumes. D stays in training because it carries nine tenths of all tumour pixels.
The shipped run was begun with a schedule of 20 epochs and shortened to 16 after the ninth, on two busy CPU cores.
"""

from train.loop import Plan

PLAN = Plan(epochs=16, full_view_epochs=2)
VALIDATION_PATIENTS = ("A", "E")
UNION_VALIDATION_EVERY = 6
