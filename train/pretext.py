"""What a frozen encoder has seen before it is frozen (DTAN, S0): is there liver in this view, is there tumour?

S0 borrows a ResNet that was trained on photographs. Offline, and for the narrow classroom preset, no such weights
exist; so the encoder first learns to name what a small view of a slice shows: nothing of the liver, liver, or
liver with tumour (PAPERS.md, M01). No outline is learnt here. A frozen *random* encoder is the control.
"""

from typing import Any

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn
from tqdm import tqdm

from train.batches import Batch, Feed
from train.run import Run

VIEWS_A_SIDE = 4  # a slice is looked at in 4×4 pieces: whole slices nearly all show liver
SMALLEST_SHARE = 0.02  # of a piece's pixels before it counts as showing liver or tumour
NOTHING, LIVER, TUMOUR = 0, 1, 2
LEARNING_RATE = 1e-3


def pieces_and_labels(batch: Batch) -> tuple[Tensor, Tensor]:
    """Pieces (n, 1, S/4, S/4) of a batch of slices, and what each shows: int64 (n,).

    On union masks nobody knows whether a piece of liver holds tumour; those pieces get −100, which the loss skips.
    """
    side = batch.image.shape[-1] // VIEWS_A_SIDE
    image = _cut(batch.image, side)
    target = _cut(batch.target[:, None].float(), side)[:, 0]
    liver = (target > 0).float().mean((1, 2)) > SMALLEST_SHARE
    tumour = (target == 2).float().mean((1, 2)) > SMALLEST_SHARE
    labels = torch.where(tumour, TUMOUR, torch.where(liver, LIVER, NOTHING))
    full = batch.full.repeat_interleave(VIEWS_A_SIDE**2)
    return image, torch.where(~full & liver, -100, labels)


def pretrained_encoder(run: Run, feed: Feed, accelerator: Accelerator) -> dict[str, Tensor]:
    """Weights of the run's encoder after `plan.pretext_slices` views of the pretext task.

    Deterministic for a seed; every process computes the same, since it takes no gradient from the others.
    """
    torch.manual_seed(run.seed)
    network: Any = run.spec.build(run.preset).to(accelerator.device)  # DTAN: it has an encoder, and freeze()
    network.freeze(False)
    encoder = network.encoder.train()
    head = nn.Linear(encoder.channels[-1], 3).to(accelerator.device)
    optimiser = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], LEARNING_RATE, weight_decay=1e-4)
    steps = max(run.plan.pretext_slices // run.plan.batch_size, 1)
    # Epoch numbers that the run itself never reaches: other views than those of its first epochs.
    batches = (batch for number in range(steps) for batch in feed.epoch(10**6 + number, run.seed))
    right = seen = 0
    with tqdm(total=steps, desc="pretext task of the encoder", unit="batch", mininterval=2) as bar:
        for _, batch in zip(range(steps), batches, strict=False):
            image, labels = pieces_and_labels(batch)
            image, labels = image.to(accelerator.device), labels.to(accelerator.device)
            maps = encoder(image.expand(-1, network.in_channels, -1, -1))[-1]
            logits = head(maps.mean((2, 3)))
            optimiser.zero_grad(set_to_none=True)
            F.cross_entropy(logits, labels).backward()
            optimiser.step()
            known = labels >= 0
            right += int((logits.argmax(1) == labels)[known].sum())
            seen += int(known.sum())
            bar.set_postfix(right=f"{right / max(seen, 1):.2f}", refresh=False)
            bar.update()
    return {key: value.detach().clone() for key, value in encoder.state_dict().items()}


def _cut(image: Tensor, side: int) -> Tensor:
    """(B, C, S, S) -> (B·16, C, side, side), a slice's pieces together."""
    pieces = image.unfold(2, side, side).unfold(3, side, side)  # (B, C, 4, 4, side, side)
    return pieces.permute(0, 2, 3, 1, 4, 5).reshape(-1, image.shape[1], side, side)
