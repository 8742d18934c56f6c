"""HU of the phantom's tissues in four phases of a contrast agent."""

PHASES = ("native", "arterial", "portal", "delayed")

# HU by phase, in that order: before contrast agent, about 35 s after it (late arterial), 70 s, 5 min. Round figures
# within the ranges that textbooks of abdominal CT give for adults; chosen for teaching, not measured. Only what takes
# up contrast agent changes.
TISSUE_HU: dict[str, tuple[float, float, float, float]] = {
    "liver": (58, 68, 110, 92),
    "portal vein": (42, 95, 170, 118),
    "hepatic vein": (42, 52, 160, 116),
    "artery": (42, 300, 155, 116),
    "vena cava": (42, 75, 138, 114),
    "heart": (42, 200, 150, 116),
    "heart muscle": (45, 105, 112, 98),
    "spleen": (48, 118, 124, 98),
    "kidney cortex": (34, 165, 190, 150),
    "kidney medulla": (32, 60, 166, 156),
    "renal pelvis": (8, 8, 14, 400),
    "pancreas": (42, 108, 96, 80),
    "adrenal": (30, 60, 75, 60),
    "gut wall": (40, 80, 92, 80),
    "lung vessel": (40, 150, 120, 90),
    "muscle": (54, 58, 63, 64),
}
STEADY_HU = {
    "fat": -104.0,
    "skin": 15.0,
    "lung": -862.0,
    "gas": -960.0,
    "bile": 8.0,
    "chyme": 26.0,
    "stool": 40.0,
    "spinal sac": 22.0,
    "disc": 88.0,
    "cartilage": 108.0,
    "spongy bone": 165.0,
    "cortical bone": 460.0,
}
