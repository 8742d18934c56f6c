"""The drawing of what holds the organs: table, skin, fat, muscles, diaphragm, bones, and the chest."""

import numpy as np

from livdemo.phantom.anatomy import BODY, OESOPHAGUS, RIB_MM, VERTEBRA_MM
from livdemo.phantom.canvas import Canvas, Trunk
from livdemo.phantom.solids import FAR_MM, Array, Box, ellipsoid, loft, smooth_tube


def ramp(values: Array, start: float, end: float) -> Array:
    """0 up to start, 1 from end, straight between."""
    return np.clip((values - np.float32(start)) / np.float32(end - start), 0, 1)


def draw_table(canvas: Canvas) -> None:
    """The patient lies on a curved carbon-fibre shell filled with foam, the same in every slice."""
    box = (slice(0, 2), slice(None), slice(None))
    grid = canvas.grid.part(box)
    below = grid.y - (121 - (420 - np.sqrt(420**2 - grid.x**2)))  # (1, Y, X)
    canvas.draw(np.abs(below - 9) - 9, -930, box)
    canvas.draw(np.abs(below) - 1.1, 240, box)
    canvas.draw(np.abs(below - 18) - 0.6, 60, box)
    canvas.hu[2:] = canvas.hu[0]


def draw_trunk(canvas: Canvas) -> Trunk:
    """Skin, fat, muscles, the fat inside and the lungs."""
    canvas = canvas.organ("trunk")
    grid, rng = canvas.grid, canvas.shape_rng
    fat_share, girth = rng.uniform(0.8, 1.6), rng.uniform(-3, 3)
    outlines = {z: [*half, *((-x, y) for x, y in half[-2:0:-1])] for z, half in BODY.items()}
    skin = loft(grid, outlines) - np.float32(girth) + 1.5 * canvas.shape_noise((90, 60, 60))
    across = np.abs(grid.x)
    belly, chest = ramp(-grid.z, -40, 80), ramp(grid.z, -20, 40)
    front, back, side = ramp(-grid.y, 0, 90), ramp(grid.y, 0, 90), ramp(across, 0, 150)
    fat_mm = fat_share * (6 + 5 * belly + 6 * front * belly + 6 * back * belly * side + 2 * back)
    wall = skin + fat_mm + 1.6 * canvas.shape_noise((70, 18, 18))
    muscle_mm = 13 + 5 * chest - 4 * front * (1 - side)
    # The long muscles of the back fill the groove beside the spine, more so in the loin.
    spine = np.exp(-((across / 26) ** 2))
    back_y = 84 - 20 * (1 - chest) - 40 * spine + 26 * (1 - chest) * ramp(across, 60, 100)
    cavity = np.maximum(wall + muscle_mm, (grid.y - back_y) * np.float32(0.8)) + 0.8 * canvas.shape_noise((40, 20, 20))
    dome = _diaphragm(canvas)
    strands = canvas.grain((14, 7, 7))
    canvas.draw(skin, "skin")
    web = np.clip(0.6 - 6 * np.abs(strands), 0, 1)
    canvas.draw(skin + 1.7, canvas.tissue["fat"] + 4 * strands + 35 * web)
    _draw_muscles(canvas, wall, cavity, chest)
    canvas.draw(cavity, canvas.tissue["fat"] + 4 * strands + 60 * np.clip(canvas.grain((9, 5, 5)) - 1.8, 0, 1))
    canvas.draw(np.maximum(cavity, np.abs(dome - 0.8) - 1.5), "muscle")
    canvas.draw(np.maximum(cavity, dome), canvas.tissue["lung"] + 10 * strands + 25 * back)
    return Trunk(wall, cavity, dome, np.full(grid.shape, FAR_MM, np.float32))


def _draw_muscles(canvas: Canvas, wall: Array, cavity: Array, chest: Array) -> None:
    """Muscle with streaks of fat, and the planes of fat between its layers."""
    canvas = canvas.organ("muscles")
    grid = canvas.grid
    muscle = canvas.tissue["muscle"]
    canvas.draw(wall, muscle - 80 * np.clip(canvas.grain((40, 5, 9)) - 1.4, 0, 1))
    within = np.nonzero((wall < -1.5) & (cavity > 1.5))
    z, y, across = grid.z.ravel()[within[0]], grid.y.ravel()[within[1]], np.abs(grid.x.ravel()[within[2]])
    chest = chest.ravel()[within[0]]
    depth = -wall[within] + canvas.shape_noise((50, 16, 16))[within]
    fat = np.zeros(z.shape, np.float32)

    def seam(distance: Array, half_mm: float, where: Array) -> None:
        np.maximum(fat, where * np.clip(half_mm - np.abs(distance), 0, 1), out=fat)

    flank = (1 - chest) * ramp(across, 66, 84) * ramp(-y, -55, -35)
    seam(depth - 4.5, 1.2, flank)  # between the three flat muscles
    seam(depth - 9.0, 1.2, flank)
    seam(depth - 6.0, 1.9, chest * ramp(across, 50, 80))  # under the muscles on the ribs
    seam(across, 1.6, 0.9 * (y < -40) * (1 - chest))  # linea alba
    seam(across - 68, 1.4, (y < -40) * (1 - chest))  # outer edge of the rectus
    for cx, cy, rx, ry in ((33, 88, 27, 18), (15, 92, 9, 15), (78, 82, 22, 11)):  # the long muscles of the back
        seam((np.hypot((across - cx) / rx, (y - cy) / ry) - 1) * min(rx, ry), 1.4, 1.0 * (y > 55))
    patchy = np.clip(0.55 + 0.45 * canvas.grain((30, 18, 18))[within], 0.1, 1)
    canvas.hu[within] += fat * patchy * (canvas.tissue["fat"] - canvas.hu[within])


def _diaphragm(canvas: Canvas) -> Array:
    """Two domes and the heart's bed between them, as a height over the axial plane."""
    grid = canvas.grid
    lift = canvas.organ("diaphragm").shape_rng.uniform(-8, 2)

    def dome(x: float, y: float, top: float, side: float, front: float, back: float) -> Array:
        dx, dy = (grid.x[0] - x) / side, grid.y[0] - y
        return np.maximum(top - 100 * (dx**2 + np.where(dy < 0, dy / front, dy / back) ** 2) ** 1.25, -400)

    crura = np.broadcast_to(-8 + 72 * np.exp(-((grid.x[0] / 34) ** 2)), grid.shape[1:])  # no lung before the spine
    domes = np.stack(
        [dome(-74, -8, 106, 68, 118, 94), dome(78, 2, 95, 62, 108, 90), dome(6, -44, 92, 110, 85, 62), crura]
    )
    height = (8 * np.log(np.exp(domes / 8).sum(axis=0)) + lift).astype(np.float32)  # (Y, X), a smooth maximum
    slope_y, slope_x = np.gradient(height, *grid.spacing_mm[1:])
    return np.asarray((height - grid.z) / np.sqrt(1 + slope_x**2 + slope_y**2), np.float32)


def draw_ribs(canvas: Canvas, trunk: Trunk) -> None:
    """Bands that wind down around the cage and end in cartilage, the last two free; and the breastbone."""
    canvas = canvas.organ("ribs")
    grid = canvas.grid
    around = 1 - np.arctan2(np.abs(grid.x), 8 - grid.y) / np.float32(np.pi)  # 0 behind, 1 in front: (1, Y, X)
    head = grid.z + 150 * around**1.1 - 20  # height at which the rib that passes here left the spine, over the 12th
    number = np.round(head / RIB_MM)  # 0 is the 12th rib, 1 the 11th ...
    vertical = (head - number * RIB_MM) * np.float32(0.7)  # the bands are steep: across them it is less far
    band = np.hypot(vertical / np.float32(1.2), trunk.cavity + canvas.shape_noise((60, 25, 25)) - 6.5)
    reach = np.select([number < 0, number == 0, number == 1, number == 2], [0.0, 0.28, 0.42, 0.62], 0.72)
    bone = np.maximum(band - 3.7, np.maximum(around - reach.astype(np.float32), 0.12 - around) * 150)
    bone = np.where(trunk.wall < -2, bone, FAR_MM).astype(np.float32)
    canvas.draw(bone, "cortical bone")
    canvas.draw(bone + 1.6, "spongy bone")
    gristle = np.maximum(band - 4.2, np.abs(around - 0.83) * 150 - 14)
    canvas.draw(np.where((number >= 3) & (trunk.wall < -2), gristle, FAR_MM).astype(np.float32), "cartilage")
    sternum = ellipsoid(grid, (0, -88, 150), (17, 5.5, 52))
    canvas.draw(sternum, "cortical bone")
    canvas.draw(sternum + 1.5, "spongy bone")


def draw_spine(canvas: Canvas) -> None:
    """Vertebrae with arches and processes, discs between them, the spinal canal."""
    canvas = canvas.organ("spine")
    box = canvas.grid.box((-60, 15, -FAR_MM * 2), (60, 112, FAR_MM * 2))
    grid = canvas.grid.part(box)
    if 0 in grid.shape:
        return
    across, y = np.abs(grid.x), grid.y
    grain = canvas.grain((6, 2.6, 2.6), box)

    def from_middle(shift: float) -> Array:
        """mm above or below the nearest vertebra's middle, moved down by shift."""
        return np.abs((grid.z + np.float32(8 + shift)) % np.float32(VERTEBRA_MM) - np.float32(VERTEBRA_MM / 2))

    flare = 1 + 0.08 * (from_middle(0) / 16.5) ** 2  # waisted between its end plates
    disc = (np.hypot(grid.x / 22, (y - 43) / 16) - flare) * 16
    disc = np.maximum(disc, 10.5 - np.hypot(across / 1.1, y - 69))  # hollow toward the canal
    canvas.draw(disc, "disc", box)
    body = np.maximum(disc, from_middle(0) - 13)
    canvas.draw(body, "cortical bone", box)
    canvas.draw(body + 1.3, canvas.tissue["spongy bone"] + 30 * grain, box)

    arch = from_middle(4) - 10
    lamina = np.maximum(np.abs(np.hypot(grid.x / 1.15, y - 68) - 12.5) - 3.2, np.maximum(66 - y, arch))
    pedicle = np.maximum(np.hypot(across - 15, np.maximum(np.abs(y - 62) - 8, 0)) - 4, from_middle(-2) - 7)
    transverse = np.hypot(y - 72 - 0.22 * (across - 20), np.maximum(from_middle(0) - 3, 0)) - 4.2
    transverse = np.maximum(transverse, np.maximum(across - 42, 12 - across))
    facet = np.maximum(np.hypot(across - 17, y - 77) - 6, from_middle(12) - 8)
    spinous = np.maximum(across - 2.4 - 1.6 * ramp(y, 88, 97), np.maximum(78 - y, y - 98))
    spinous = np.maximum(spinous, arch + 0.25 * (y - 84))
    bones = np.broadcast_arrays(lamina, pedicle, transverse, facet, spinous)
    behind = np.minimum.reduce(bones).astype(np.float32) + 0.5 * canvas.shape_noise((12, 8, 8), box)
    canvas.draw(behind, "cortical bone", box)
    canvas.draw(behind + 2.0, canvas.tissue["spongy bone"] + 60 + 40 * grain, box)
    canal = np.hypot(grid.x / np.float32(1.15), y - 68) - 9
    canvas.draw(canal, -20, box)  # fat around the sac
    canvas.draw(canal + 1.8, "spinal sac", box)


def draw_chest(canvas: Canvas, trunk: Trunk) -> None:
    """Mediastinum, heart, vessels of the lungs, gullet."""
    canvas = canvas.organ("chest")
    box = canvas.grid.box((-170, -120, 48), (170, 110, 200))
    grid = canvas.grid.part(box)
    if grid.shape[0]:
        above, cavity = trunk.dome[box], trunk.cavity[box]
        fat = np.minimum(
            ellipsoid(grid, (6, 26, 120), (26, 24, 140)), ellipsoid(grid, (12, -44, 140), (72, 50, 58), turn=0.25)
        )
        fat = np.maximum(np.maximum(fat, cavity), above - 2)
        canvas.draw(fat, "fat", box)
        rough = canvas.shape_noise((30, 22, 22), box)
        heart = ellipsoid(grid, (12, -42, 138), (64, 42, 52), turn=0.3) + 2 * rough
        heart = np.maximum(np.maximum(heart, cavity + 4), above + 1)
        canvas.draw(heart, "heart muscle", box)
        chambers = (
            ((36, -36, 142), (27, 19, 36)),
            ((0, -64, 140), (42, 13, 36)),
            ((-30, -32, 142), (19, 26, 40)),
            ((10, -8, 152), (30, 11, 34)),
        )
        for centre, radii in chambers:
            chamber = ellipsoid(grid, centre, radii, turn=0.3) + 3 * rough
            canvas.draw(np.maximum(chamber, heart + 3), "heart", box)
        _draw_lung_vessels(canvas, np.maximum.reduce([above + 3, cavity + 5, 1 - fat]), box)
    canvas.draw_tube(smooth_tube(OESOPHAGUS), "gut wall")


def _draw_lung_vessels(canvas: Canvas, within: Array, box: Box) -> None:
    full = np.full(canvas.grid.shape, FAR_MM, np.float32)
    full[box] = within
    rng = canvas.grain_rng
    for _ in range(120):
        root = np.array([rng.choice([-1, 1]) * rng.uniform(30, 115), rng.uniform(-55, 75), rng.uniform(62, 132)])
        way, radius = rng.standard_normal(3) * (9, 9, 16), rng.uniform(1.05, 1.9) ** 2
        course = root + np.outer(np.linspace(0, 1, 3), way)
        canvas.draw_tube(np.column_stack([course, np.linspace(radius, 0.6 * radius, 3)]), "lung vessel", full)
