"""The drawing of the organs of the belly, from the bowel to the liver: later ones lie over earlier ones."""

import numpy as np

from livdemo.phantom.anatomy import (
    AORTA,
    COELIAC_ARTERY,
    COLON,
    DUODENUM,
    GALLBLADDER,
    HEPATIC_ARTERY,
    KIDNEYS,
    LIVER,
    LOOPS,
    MESENTERIC_ARTERY,
    MESENTERIC_VEIN,
    PANCREAS,
    PORTAL_VEIN,
    RENAL_VEINS,
    SPLEEN,
    STOMACH,
    VENA_CAVA,
    Course,
)
from livdemo.phantom.canvas import Canvas, Trunk
from livdemo.phantom.solids import FAR_MM, Array, Grid, Tube, ellipsoid, loft, smooth_tube, tube_box, tube_distance


def draw_bowel(canvas: Canvas, trunk: Trunk) -> None:
    """Small bowel in its fat with vessels, colon, duodenum, pancreas, stomach."""
    canvas = canvas.organ("bowel")
    fine, coarse = canvas.grain((6, 3, 3)), canvas.grain((8, 4.5, 4.5))
    chyme = canvas.tissue["chyme"] + 9 * fine
    for heading in ((0.3, -0.5, -1), (0.9, -0.4, -0.5), (-0.6, -0.6, -0.9), (0.4, -0.9, -0.4), (0.9, -0.3, 0.1)):
        for tube in branches(canvas.shape_rng, np.array([8, -12, -42.0]), np.array(heading), 32, 3.0, 4):
            canvas.draw_tube(tube, "portal vein", trunk.cavity)
    for number in range(LOOPS):
        loop = canvas.organ(f"loop {number}")
        air = loop.shape_rng.uniform(-2.2, 0.4)
        _draw_hollow(loop, trunk, _loop(loop.shape_rng, number), 2.4, chyme, air)
    colon = smooth_tube(COLON, 14)
    along = np.append(0, np.cumsum(np.linalg.norm(np.diff(colon[:, :3], axis=0), axis=1)))
    colon[:, 3] *= 0.90 + 0.13 * np.abs(np.sin(along / 11))  # pouches
    stool = canvas.tissue["stool"] + 20 * fine - 650 * np.clip(coarse - 0.8, 0, 0.9)
    _draw_hollow(canvas.organ("colon"), trunk, colon, 2.2, stool, air=0.1, folds_mm=5.0)
    _draw_hollow(canvas.organ("duodenum"), trunk, smooth_tube(DUODENUM), 2.8, chyme)
    _draw_pancreas(canvas.organ("pancreas"))
    meal = canvas.tissue["chyme"] + 5 * fine + 22 * np.clip(coarse - 1.0, 0, 1)
    _draw_hollow(canvas.organ("stomach"), trunk, smooth_tube(STOMACH), 3.6, meal, air_y=-56, folds_mm=4.0)


def _draw_pancreas(canvas: Canvas) -> None:
    pancreas = smooth_tube(PANCREAS)
    box = tube_box(canvas.grid, pancreas, 8)
    part = canvas.grid.part(box)
    if 0 not in part.shape:
        lobules = canvas.shape_noise((9, 5, 5), box)
        distance = tube_distance(part, pancreas, 12) + 2.4 * lobules + 1.0
        canvas.draw(distance, canvas.tissue["pancreas"] - 14 * np.clip(lobules, 0, 2), box)


def _loop(rng: np.random.Generator, number: int) -> Tube:
    """A winding course of small bowel; the loops start spread over their room in the belly."""
    middle, room = np.array([22.0, -36, -84]), np.array([84.0, 44, 74])
    angle, height = number * 2.4, 1 - 2 * (number + 0.5) / LOOPS  # 2.4: the golden angle
    reach = 0.95 * np.sqrt(rng.uniform(0.1, 1))
    place = middle + room * (reach * np.cos(angle), reach * np.sin(angle), height)
    heading = rng.standard_normal(3)
    course = []
    for _ in range(6):
        course.append([*place, rng.uniform(9, 13)])
        heading = heading + 0.9 * rng.standard_normal(3)
        heading /= np.linalg.norm(heading)
        place = place + 16 * heading
        outward = (place - middle) / room
        if np.linalg.norm(outward) > 1:
            place = middle + room * outward / np.linalg.norm(outward)
            heading = heading - 1.5 * outward / np.linalg.norm(outward)
    return smooth_tube(course, 4)


def _draw_hollow(
    canvas: Canvas,
    trunk: Trunk,
    tube: Tube,
    wall_mm: float,
    content: Array,
    air: float = -2.0,
    air_y: float | None = None,
    folds_mm: float = 0.0,
) -> None:
    """A hollow organ lying on its back: gas in front, content behind.

    air: where the level lies, in radii of the tube behind its axis (below -1: no gas); air_y: one level for all, in mm.
    """
    box = tube_box(canvas.grid, tube, 8)
    part = canvas.grid.part(box)
    if 0 in part.shape:
        return
    outside = tube_distance(part, tube, 7) + 1.3 * canvas.shape_noise((24, 16, 16), box)
    outside = trunk.fit(outside, box, 2)
    canvas.draw(outside, "gut wall", box)
    inside = outside + wall_mm
    if folds_mm:
        inside = inside + folds_mm * np.clip(canvas.shape_noise((14, 8, 8), box) - 0.9, 0, 1)
    canvas.draw(inside, content[box], box)
    if air_y is not None:
        canvas.draw(np.maximum(inside, part.y - air_y), "gas", box)
    elif air > -1:
        uneven = 4 * canvas.shape_noise((50, 60, 60), box)
        canvas.draw(np.maximum(inside, part.y - _level(part, tube, air) + uneven), "gas", box)


def _level(grid: Grid, tube: Tube, air: float) -> Array:
    """y of the content's surface over (z, x): a mean over the tube's points nearby, weighted by nearness."""
    weighted, weights = np.zeros((2, grid.shape[0], 1, grid.shape[2]), np.float32)
    for x, y, z, radius in tube[:: max(1, len(tube) // 24)].astype(np.float32):
        weight = 1 / ((grid.x - x) ** 2 + (grid.z - z) ** 2 + 20) ** 2
        weighted += weight * (y + np.float32(air) * radius)
        weights += weight
    return weighted / weights


def draw_retroperitoneum(canvas: Canvas, trunk: Trunk) -> None:
    """Muscles beside the spine, adrenals, kidneys, spleen, great vessels."""
    for side in (-1, 1):
        psoas = [(side * 24, 44, 0, 5), (side * 33, 50, -40, 13), (side * 40, 48, -90, 18), (side * 45, 40, -150, 21)]
        loin = [(side * 66, 72, -10, 7), (side * 70, 70, -60, 11), (side * 74, 68, -150, 14)]
        crus = [(side * 12, 26, 60, 4), (side * 15, 27, 20, 5), (side * 13, 28, -30, 4)]
        for name, muscle in {"psoas": psoas, "loin": loin, "crus": crus}.items():
            canvas.organ(f"{name} {side}").draw_tube(smooth_tube(muscle), "muscle", rough_mm=2.5)
        adrenal = [(side * 38 + 4, 22, 14, 2.4), (side * 46 + 2, 36, 8, 2.6), (side * 50, 44, 0, 1.8)]
        canvas.draw_tube(smooth_tube(adrenal), "adrenal")
    for name, middle in KIDNEYS.items():
        _draw_kidney(canvas.organ(f"{name} kidney"), trunk, middle)
    _draw_spleen(canvas.organ("spleen"), trunk)
    vessels: dict[str, tuple[Course, ...]] = {
        "portal vein": (MESENTERIC_VEIN, PORTAL_VEIN),
        "vena cava": (*RENAL_VEINS, VENA_CAVA),
        "artery": (AORTA, COELIAC_ARTERY, HEPATIC_ARTERY, MESENTERIC_ARTERY),
    }
    for tissue, courses in vessels.items():
        for number, course in enumerate(courses):
            canvas.organ(f"{tissue} {number}").draw_tube(smooth_tube(course), tissue, rough_mm=0.4)
    cava = smooth_tube(VENA_CAVA)
    box = tube_box(canvas.grid, cava, 8)
    np.minimum(trunk.taken[box], tube_distance(canvas.grid.part(box), cava, 8) - 0.5, out=trunk.taken[box])


def _draw_spleen(canvas: Canvas, trunk: Trunk) -> None:
    box = canvas.grid.box((55, -30, -45), (150, 95, 100))
    part = canvas.grid.part(box)
    if 0 not in part.shape:
        spleen = loft(part, SPLEEN, close_mm=14) + 2.5 * canvas.shape_noise((40, 22, 22), box)
        canvas.draw(trunk.fit(np.maximum(spleen, 2.5 - trunk.taken[box]), box, 1.5), "spleen", box)


def _draw_kidney(canvas: Canvas, trunk: Trunk, middle: tuple[float, float, float]) -> None:
    x, y, z = (float(mm) for mm in np.add(middle, canvas.shape_rng.uniform(-3, 3, 3)))
    box = canvas.grid.box((x, y, z), (x, y, z), 65)
    part = canvas.grid.part(box)
    if 0 in part.shape:
        return
    inward = -1.0 if x > 0 else 1.0
    bumps = canvas.shape_noise((30, 16, 16), box)
    whole = ellipsoid(part, (x, y, z), (27, 31, 54), turn=0.6 * inward) + 1.2 * bumps
    sinus = ellipsoid(part, (x + inward * 19, y - 10, z), (20, 9, 25), turn=-0.5 * inward) + 2.5 * bumps
    whole = np.maximum(whole, -(sinus + 5))
    canvas.draw(whole, "kidney cortex", box)
    pyramids = np.maximum(np.maximum(whole + 6, 2 - sinus), -7 * canvas.shape_noise((16, 10, 10), box))
    canvas.draw(pyramids, "kidney medulla", box)
    canvas.draw(np.maximum(sinus, whole - 8), -70, box)  # fat and small vessels
    pelvis = ellipsoid(part, (x + inward * 17, y - 9, z), (13, 4, 10), turn=-0.5 * inward) + bumps
    canvas.draw(np.maximum(pelvis, whole - 8), "renal pelvis", box)
    np.minimum(trunk.taken[box], whole, out=trunk.taken[box])


def draw_liver(canvas: Canvas, trunk: Trunk) -> Array:
    """Liver with its vessels, and the gallbladder under it. Returns the distance to the liver (Z, Y, X).

    The vessels inside belong to the liver, as in LiTS's drawings; vena cava and gallbladder do not.
    """
    canvas = canvas.organ("liver")
    rng = canvas.shape_rng
    jitter = {z: [(x + rng.normal(0, 1.8), y + rng.normal(0, 1.8)) for x, y in points] for z, points in LIVER.items()}
    box = canvas.grid.box((-155, -112, -95), (95, 100, 125))
    part = canvas.grid.part(box)
    distance = np.full(canvas.grid.shape, FAR_MM, np.float32)
    if 0 in part.shape:
        return distance
    bladder = tube_distance(part, smooth_tube(GALLBLADDER), 10)
    liver = loft(part, jitter, close_mm=16) + 1.6 * canvas.shape_noise((40, 26, 26), box)
    bend = part.x + 9 + 0.2 * (part.y + 60) + 2.5 * canvas.shape_noise((40, 20, 20), box)
    gape = 0.03 * (44 - part.z) - 0.05 * (part.y + 62)  # the fissure opens downwards and to the front
    cleft = np.maximum(np.abs(bend) - gape, part.z - 42)
    liver = np.maximum.reduce([liver, 2 - trunk.taken[box], 0.2 - bladder, -cleft])
    liver = trunk.fit(liver, box, 1.2).astype(np.float32)
    mottle = 2 * canvas.grain((40, 30, 30), box) + 1.5 * canvas.grain((9, 6, 6), box)
    canvas.draw(liver, canvas.tissue["liver"] + mottle, box)
    distance[box] = liver
    _draw_liver_vessels(canvas, distance + 1.5)
    canvas.draw(bladder, "gut wall", box)
    canvas.draw(bladder + 1.5, "bile", box)
    return distance


def _draw_liver_vessels(canvas: Canvas, within: Array) -> None:
    """The portal tree from the porta upwards and outwards, and three hepatic veins that meet at the vena cava."""
    rng = canvas.organ("vessels of the liver").shape_rng
    porta, cava = np.array([-44.0, -17, 19]), np.array([-25.0, 3, 84])
    portal = (
        ((-1, -0.1, 0.1), 27, 6.0),
        ((-0.9, 0.5, -0.7), 32, 4.6),
        ((-0.7, -0.7, -0.3), 32, 4.2),
        ((-0.8, 0.4, 0.8), 32, 4.4),
        ((0.4, -0.75, 0.5), 34, 4.8),
    )
    hepatic = (((-1, 0.35, -0.35), 38, 5.6), ((-0.6, -0.85, -0.3), 36, 5.0), ((0.45, -0.9, -0.2), 34, 4.6))
    for root, stems, tissue in ((porta, portal, "portal vein"), (cava, hepatic, "hepatic vein")):
        for heading, length, radius in stems:
            for tube in branches(rng, root, np.array(heading), length, radius, 4):
                canvas.draw_tube(tube, tissue, within)


def branches(
    rng: np.random.Generator, root: np.ndarray, heading: np.ndarray, length_mm: float, radius_mm: float, forks: int
) -> list[Tube]:
    """A vessel that bends, tapers and forks so many times."""
    heading = heading / np.linalg.norm(heading)
    course = [np.append(root, radius_mm)]
    for step in (1, 2, 3):
        heading = heading + 0.22 * rng.standard_normal(3)
        heading /= np.linalg.norm(heading)
        course.append(np.append(course[-1][:3] + heading * length_mm / 3, radius_mm * (1 - 0.04 * step)))
    tubes = [np.array(course)]
    if forks:
        aside = np.cross(heading, rng.standard_normal(3))
        aside *= rng.uniform(0.5, 0.8) / np.linalg.norm(aside)
        wider, shorter = rng.uniform(0.72, 0.88), rng.uniform(0.72, 0.92)
        for turn, share in ((aside, wider), (-aside, np.cbrt(1 - wider**3))):  # Murray's law: the cubes add up
            radius = 0.88 * radius_mm * share
            tubes += branches(rng, course[-1][:3], heading + turn, length_mm * shorter, radius, forks - 1)
    return tubes
