"""Can these printed numbers hold together? The arithmetic behind the lesson "read the paper critically".

Each check takes numbers as a paper prints them and gives a verdict, the arithmetic step by step, and one
sentence. A verdict is about the numbers alone: it never says that anyone did something wrong, only what must
have been so.
"""

import math
from dataclasses import dataclass, field

HOLDS, POSSIBLE, CANNOT = "holds", "possible", "cannot hold"


@dataclass(frozen=True)
class Verdict:
    """What a check found: verdict is "holds", "possible" (only if the sentence is true) or "cannot hold"."""

    verdict: str
    arithmetic: tuple[str, ...]  # one step each, ready to print
    sentence: str
    figures: dict[str, float] = field(default_factory=dict)  # the numbers of the arithmetic, by name


def iou_from_dice(dice: float) -> float:
    """IoU of the one mask pair whose Dice this is: D / (2 - D)."""
    return _share("Dice", dice) / (2 - dice)


def dice_from_iou(iou: float) -> float:
    """Dice of the one mask pair whose IoU this is: 2J / (1 + J)."""
    return 2 * _share("IoU", iou) / (1 + iou)


def check_dice_and_iou(dice: float, iou: float, decimals: int = 4) -> Verdict:
    """Can this Dice and this IoU belong to ONE mask pair, both rounded to so many decimals?

    "holds" or "cannot hold". ValueError when a figure is outside [0, 1]. Source: J = D / (2 - D); PAPERS.md
    21.
    """
    implied_iou, implied_dice, half = iou_from_dice(dice), dice_from_iou(iou), _half_unit(decimals)
    low, high = iou_from_dice(max(dice - half, 0.0)), iou_from_dice(min(dice + half, 1.0))
    fits = low - half <= iou + 1e-12 and iou <= high + half + 1e-12
    arithmetic = (
        f"IoU = Dice / (2 - Dice) = {dice} / {2 - dice:.{decimals}f} = {implied_iou:.{decimals}f}",
        f"Dice = 2 IoU / (1 + IoU) = {2 * iou:.{decimals}f} / {1 + iou:.{decimals}f} = {implied_dice:.{decimals}f}",
    )
    figures = {"implied_iou": implied_iou, "implied_dice": implied_dice}
    if fits:
        return Verdict(HOLDS, arithmetic, f"Dice {dice} and IoU {iou} are the same fact twice.", figures)
    sentence = (
        f"No mask pair has Dice {dice} and IoU {iou}: that Dice goes with IoU {implied_iou:.{decimals}f}, "
        f"that IoU with Dice {implied_dice:.{decimals}f}. As means over several items they might still stand."
    )
    return Verdict(CANNOT, arithmetic, sentence, figures)


def check_mean_dice_and_iou(dice: float, iou: float, decimals: int = 4) -> Verdict:
    """Can these be the MEANS of Dice and of IoU over the same items (slices, batches, cases)?

    Item by item J = D / (2 - D), a convex curve from (0, 0) to (1, 1), so means lie between the curve and its
    chord: D / (2 - D) <= J <= D. When they lie off the curve, the simplest mixture is solved: a share q of
    items at Dice d and IoU j, all others exactly 1; then 1 + j = (1 - J) / (1 - D). ValueError outside [0,
    1]. Source: PAPERS.md 21, PEERS.md C1.
    """
    lowest, half = iou_from_dice(dice), _half_unit(decimals)
    bounds = (
        f"per item IoU = Dice / (2 - Dice), so mean IoU lies between {lowest:.{decimals}f} (items all alike) "
        f"and {dice} (every item 0 or 1)"
    )
    figures = {"lowest_iou": lowest, "highest_iou": dice}
    # What was printed may be half a unit of the last decimal away from what was computed.
    slack = 2 * half + 1e-12
    if not lowest - slack <= _share("IoU", iou) <= dice + slack:
        sentence = f"No set of items has mean Dice {dice} and mean IoU {iou}."
        return Verdict(CANNOT, (bounds,), sentence, figures)
    if iou <= lowest + slack:
        sentence = f"Mean Dice {dice} and mean IoU {iou} fit items that all score alike."
        return Verdict(HOLDS, (bounds,), sentence, figures)
    j = max(0.0, (1 - iou) / (1 - dice) - 1)
    d = dice_from_iou(j)
    q = (1 - dice) / (1 - d)
    figures |= {"poor_iou": j, "poor_dice": d, "poor_share": q}
    arithmetic = (
        bounds,
        "let a share q of items score Dice d and IoU j, and all others exactly 1",
        f"1 + j = (1 - IoU) / (1 - Dice) = {1 - iou:.{decimals}f} / {1 - dice:.{decimals}f}, so j = {j:.3f}",
        f"d = 2j / (1 + j) = {d:.3f}",
        f"q = (1 - Dice) / (1 - d) = {q:.1%}",
    )
    sentence = (
        f"As means over one set of items they are possible: for instance {1 - q:.1%} of the items perfect "
        f"and {q:.1%} near Dice {d:.2f}. Ask whether empty slices were scored 1."
    )
    return Verdict(POSSIBLE, arithmetic, sentence, figures)


def background_only_mean_iou(background_share: float, classes: int = 3) -> float:
    """Mean IoU over all classes, background included, of a network that predicts background everywhere.

    Its background IoU is the background's share of the image, every other class scores 0 (PAPERS.md 12).
    """
    if classes < 2:
        raise ValueError(f"at least 2 classes are needed, not {classes}")
    return _share("background share", background_share) / classes


def check_background_only(mean_iou: float, background_share: float, classes: int = 3, slack: float = 0.01) -> Verdict:
    """Is this mean IoU (background counted) more than predicting background everywhere would score?

    "holds" when it is higher by more than slack; "possible" when it is within slack of that score, so that
    the network may never have learnt; "cannot hold" is not given: worse networks exist. Source: PAPERS.md 12.
    """
    floor = background_only_mean_iou(background_share, classes)
    arithmetic = (
        f"background everywhere: IoU {background_share} for background, 0 for {classes - 1} other classes",
        f"mean = {background_share} / {classes} = {floor:.4f}; without background it is 0",
        f"reported {mean_iou}, that is {_share('mean IoU', mean_iou) - floor:+.4f}",
    )
    figures = {"background_only_mean_iou": floor, "gain": mean_iou - floor}
    if mean_iou > floor + slack:
        return Verdict(HOLDS, arithmetic, "The network scores more than an empty prediction would.", figures)
    sentence = (
        f"A network that predicts background everywhere scores {floor:.3f}; {mean_iou} is no evidence that "
        "anything was learnt. Ask for the mean IoU without background."
    )
    return Verdict(POSSIBLE, arithmetic, sentence, figures)


def check_accuracy(accuracy: float, foreground_share: float) -> Verdict:
    """What does this accuracy say when the foreground is so small a share of the image?

    Predicting nothing scores 1 - f. "holds" when the reported accuracy is higher; then (1 - accuracy) / f is
    the largest share of the foreground that may still have been missed. "possible" otherwise: it is no
    evidence. Source: PAPERS.md 22, PEERS.md C1.
    """
    if not 0 < foreground_share <= 1:
        raise ValueError(f"the foreground's share must lie in (0, 1], not {foreground_share}")
    nothing = 1 - foreground_share
    error = 1 - _share("accuracy", accuracy)
    missed = min(1.0, error / foreground_share)
    arithmetic = (
        f"predicting nothing: accuracy = 1 - {foreground_share:g} = {nothing:.6g}",
        f"reported error = 1 - {accuracy} = {error:.6g} of all voxels",
        f"if all of it is missed foreground: {error:.6g} / {foreground_share:g} = {missed:.1%} of it",
    )
    figures = {"accuracy_of_nothing": nothing, "largest_missed_share": missed}
    if accuracy > nothing:
        sentence = (
            f"Better than predicting nothing ({nothing:.4f}), yet up to {missed:.0%} of the foreground may "
            "be missed: accuracy alone cannot say."
        )
        return Verdict(HOLDS, arithmetic, sentence, figures)
    sentence = f"Predicting nothing at all scores {nothing:.4f}; {accuracy} is no evidence of a segmentation."
    return Verdict(POSSIBLE, arithmetic, sentence, figures)


def double_sigmoid_floor(foreground_share: float, dice_weight: float = 0.3, ce_weight: float = 0.7) -> float:
    """Least value of dice_weight * soft Dice loss + ce_weight * BCE when the loss gets sigmoid twice.

    Perfect logits become 0 and 1, and after the second sigmoid 0.5 and 0.731: the loss cannot fall further.
    Natural logarithm; sums over pixels, no smoothing. ValueError when the share is outside (0, 1).
    Source: PAPERS.md 16 (S1's Kvasir runs).
    """
    if not 0 < foreground_share < 1:
        raise ValueError(f"the foreground's share must lie in (0, 1), not {foreground_share}")
    inside, outside = 1 / (1 + math.exp(-1)), 0.5
    f, b = foreground_share, 1 - foreground_share
    bce = -f * math.log(inside) - b * math.log(1 - outside)
    soft_dice = 2 * inside * f / (inside * f + outside * b + f)
    return dice_weight * (1 - soft_dice) + ce_weight * bce


def check_double_sigmoid(
    loss: float, foreground_share: float, dice_weight: float = 0.3, ce_weight: float = 0.7
) -> Verdict:
    """Could a loss that came to rest here have been computed with sigmoid applied twice?

    "cannot hold" when it lies below the floor; "possible" when it lies above, and the sentence says by how
    much.
    """
    floor = double_sigmoid_floor(foreground_share, dice_weight, ce_weight)
    inside = 1 / (1 + math.exp(-1))
    arithmetic = (
        f"perfect logits: sigmoid gives 0 and 1, the second sigmoid 0.5 and {inside:.4f}",
        f"floor = {dice_weight} Dice loss + {ce_weight} BCE, {foreground_share:.1%} foreground = {floor:.4f}",
        f"reported {loss}, that is {loss - floor:+.4f}",
    )
    figures = {"floor": floor, "above_floor": loss - floor}
    if loss < floor - 5e-4:
        sentence = f"With sigmoid applied twice this loss cannot fall below {floor:.3f}."
        return Verdict(CANNOT, arithmetic, sentence, figures)
    sentence = (
        f"A loss of {loss} lies {loss - floor:.3f} above {floor:.3f}, the least that a perfect network "
        "reaches with sigmoid applied twice: the plateau may be the formula's, not the network's."
    )
    return Verdict(POSSIBLE, arithmetic, sentence, figures)


def convolution_size(size: int, kernel: int, padding: int = 0, stride: int = 1, dilation: int = 1) -> int:
    """Output length of a convolution: floor((V - R_eff + 2P) / S) + 1 with R_eff = d (R - 1) + 1.

    ValueError when an argument makes no sense or the kernel does not fit. Source: PAPERS.md M01, equation 3.
    """
    if min(size, kernel, stride, dilation) < 1 or padding < 0:
        raise ValueError(
            f"size {size}, kernel {kernel}, stride {stride} and dilation {dilation} must be 1 or more, "
            f"padding {padding} 0 or more"
        )
    reach = dilation * (kernel - 1) + 1
    if size + 2 * padding < reach:
        raise ValueError(f"a kernel that reaches {reach} does not fit a size of {size} padded by {padding}")
    return (size - reach + 2 * padding) // stride + 1


def check_convolution_size(
    size: int, output: int, kernel: int, padding: int = 0, stride: int = 1, dilation: int = 1
) -> Verdict:
    """Does a convolution of this kind turn `size` into `output`? "holds" or "cannot hold"."""
    right = convolution_size(size, kernel, padding, stride, dilation)
    reach = dilation * (kernel - 1) + 1
    exact = (size - reach + 2 * padding) / stride + 1
    arithmetic = (
        f"a kernel of {kernel} with dilation {dilation} reaches {dilation} x ({kernel} - 1) + 1 = {reach}",
        f"({size} - {reach} + 2 x {padding}) / {stride} + 1 = {exact:g}, rounded down {right}",
    )
    figures = {"output": float(right)}
    if output == right:
        return Verdict(HOLDS, arithmetic, f"{size} becomes {right}.", figures)
    return Verdict(CANNOT, arithmetic, f"{size} becomes {right}, not {output}.", figures)


def check_psnr_and_accuracy(psnr_db: float, accuracy: float, peak: float = 1.0) -> Verdict:
    """Can this PSNR and this accuracy describe the same masks of 0 and `peak`?

    On such masks the mean squared error is the error rate times peak². "holds" when the PSNR fits the
    accuracy within a tenth of a dB; else "cannot hold", with the squared difference per wrong pixel that
    would explain it. Source: PAPERS.md 25. ValueError when the accuracy is not below 1.
    """
    error = 1 - _share("accuracy", accuracy)
    if error <= 0:
        raise ValueError("an accuracy of 1 leaves no error, so its PSNR is infinite")
    expected = -10 * math.log10(error)
    mean_squared = peak**2 * 10 ** (-psnr_db / 10)
    per_wrong = mean_squared / error
    arithmetic = (
        f"PSNR {psnr_db} dB means a mean squared error of {mean_squared:.3g}",
        f"an error rate of 1 - {accuracy} = {error:.3g} on 0/1 masks would give {expected:.1f} dB",
        f"squared difference per wrong pixel = {mean_squared:.3g} / {error:.3g} = {per_wrong:.2f}",
    )
    figures = {"expected_psnr_db": expected, "mean_squared_error": mean_squared, "per_wrong_pixel": per_wrong}
    if abs(psnr_db - expected) <= 0.1:
        sentence = "The PSNR is the accuracy on another scale and adds nothing."
        return Verdict(HOLDS, arithmetic, sentence, figures)
    sentence = (
        f"On 0/1 masks these two cannot go together; a squared difference of about {per_wrong:.1f} per wrong "
        "pixel points to class numbers being subtracted, and a PSNR of class numbers means nothing."
    )
    return Verdict(CANNOT, arithmetic, sentence, figures)


def _share(name: str, value: float) -> float:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must lie in [0, 1], not {value} (give 82.1 % as 0.821)")
    return value


def _half_unit(decimals: int) -> float:
    if decimals < 0:
        raise ValueError(f"decimals must be 0 or more, not {decimals}")
    return 0.5 * 10.0**-decimals
