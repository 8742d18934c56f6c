"""How a run goes: the paper's own recipe (in train/NAME.py), or the one protocol that is the same for all.

PAPER   in each train/NAME.py: what the paper states; where it is silent, what PAPERS.md chose for it
HOUSE   here: the same budget, sampling, augmentation and optimiser for every model, so that a table of
        results says something about the models
"""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

Optimiser = Literal["adam", "adamw", "adagrad", "sgd"]
Schedule = Literal["constant", "one-cycle", "plateau"]

FAST_SLICES_PER_EPOCH = 1024
FAST_EPOCHS = 10


@dataclass(frozen=True)
class Plan:
    """Everything about a run that is neither the model nor the data nor the seed."""

    recipe: str  # "paper" or "house": it stands in the card
    epochs: int
    batch_size: int  # items; an item is a slice, or a sequence or block of slices (see in_items)
    learning_rate: float
    optimiser: Optimiser
    loss: str  # of train.losses.LOSSES
    augmentation: str  # of train.augment.AUGMENTATIONS
    view: float = 1.0  # side of what a training item shows, in sides of the slice; the input is as much smaller
    slices_per_epoch: int | None = None  # network slices, blocks counted with all theirs; None: each slice once
    weight_decay: float = 0.0
    momentum: float = 0.0  # of SGD
    schedule: Schedule = "constant"
    warm_up: float = 0.1  # share of a one-cycle schedule in which the rate rises
    plateau: tuple[float, int] = (0.5, 5)  # the rate is multiplied by the first after so many epochs without progress
    stop_after: int | None = None  # epochs without progress of the validation loss: early stopping
    frozen_epochs: int = 0  # the first epochs, with the encoder held still (fastai's fine_tune)
    encoder_rate: float = 1.0  # the encoder's learning rate as a share of the head's (discriminative rates)
    average: float | None = None  # decay per step of an exponential average of the weights; None: none
    keep: Literal["last", "best"] = "last"  # which epoch is exported: the last, or the one of least validation loss
    union_share: float | None = None  # of the items are slices where only the union is drawn; None: as they come
    tumour_share: float = 0.6  # of the fully drawn items show a tumour (only with union_share)
    painted: float = 0.0  # share of the CT items into which synthetic tumours are painted (train/synthetic_tumours.py)
    clip: float | None = None  # largest norm of the gradient
    pretext_slices: int = 0  # DTAN's encoder learns a pretext task on so many views before it is frozen
    thawed: bool = False  # an encoder that the paper keeps frozen learns with the rest
    bf16: bool = False
    shortened: str = ""  # what --fast or --epochs took away, one sentence for the card

    def described(self) -> dict[str, Any]:
        """All fields for run.json. `view` and `thawed` stand there where they are used: runs from before they existed
        stay the same."""
        fields = asdict(self)
        if self.view == 1.0:
            del fields["view"]
        if not self.thawed:
            del fields["thawed"]
        return fields

    def fast(self) -> "Plan":
        """The same recipe within a classroom machine's reach: at most 10 epochs of 1,024 slices."""
        epochs = min(self.epochs, FAST_EPOCHS)
        slices = min(self.slices_per_epoch or FAST_SLICES_PER_EPOCH, FAST_SLICES_PER_EPOCH)
        if (epochs, slices) == (self.epochs, self.slices_per_epoch):
            return self
        asked = "every training slice" if self.slices_per_epoch is None else f"{self.slices_per_epoch} slices"
        return replace(
            self,
            epochs=epochs,
            slices_per_epoch=slices,
            frozen_epochs=min(self.frozen_epochs, epochs - 1),
            pretext_slices=min(self.pretext_slices, 4 * FAST_SLICES_PER_EPOCH),
            shortened=(
                f"Shortened for a classroom machine (--fast): {epochs} epochs of {slices} slices "
                f"instead of {self.epochs} of {asked}."
            ),
        )

    def in_items(self, slices: int) -> "Plan":
        """The same for items of so many slices: about as many slices a step, so as many steps an epoch.

        Eight blocks of 16 slices a step would leave a 3D network 8 steps an epoch where the others take 128.
        """
        return replace(self, batch_size=items_of(self.batch_size, slices))

    def with_epochs(self, epochs: int) -> "Plan":
        """Another number of epochs, which the card then names."""
        said = f"{epochs} epochs were asked for instead of the recipe's {self.epochs}."
        return replace(
            self,
            epochs=epochs,
            frozen_epochs=min(self.frozen_epochs, epochs - 1),
            shortened=f"{self.shortened} {said}".strip(),
        )


def items_of(batch: int, slices: int) -> int:
    """How many items of so many slices make up a batch of `batch` slices, at least one."""
    return max(round(batch / slices), 1)


HOUSE = Plan(
    recipe="house",
    epochs=10,
    slices_per_epoch=1024,
    batch_size=8,
    learning_rate=2e-3,
    optimiser="adamw",
    weight_decay=1e-4,
    loss="house",
    augmentation="house",
    schedule="one-cycle",
    average=0.99,
    union_share=0.35,
    clip=2.0,
    pretext_slices=4096,
)

# On from the house plan's networks (Run.start). More of the patients of whom the liver alone is drawn: the study of
# the liver-only share found livers of strangers better for it, and tumours no worse. And painted tumours: their study
# found those of four patients of six better for it (of the other two none is found either way), with twice the false
# positives.
SECOND_COURSE = replace(HOUSE, epochs=20, learning_rate=1e-3, union_share=0.65, painted=0.4, pretext_slices=0)

# On from the second course's networks, with finer pictures (train.planned.FINER): what is left to mend on livers of
# strangers lies within 3 mm of the edge, where 128 pixels have their own half width.
THIRD_COURSE = replace(SECOND_COURSE, epochs=10, learning_rate=5e-4)
