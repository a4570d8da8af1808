"""Heads trained side by side on augmented images, which a frozen encoder sees anew each epoch."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.optim import Optimizer

from mim.batch import Batch
from mim.evaluate.evaluated_checkpoint import EvaluatedCheckpoint
from mim.evaluate.features import ExtractedBatch, Extractor, extract_batches
from mim.evaluate.heads import Heads
from mim.optim.layer_decay import Group
from mim.optim.schedule import Schedule
from mim.part import Progress
from mim.pool.pool import Pool, pool_tokens


@runtime_checkable
class _Shuffles(Protocol):
    def __len__(self) -> int: ...
    def set_epoch(self, epoch: int) -> None: ...


class SideBySide(NamedTuple):
    """What is trained, and on what.

    Args:
        checkpoint: how images get to the encoder.
        extractor: encoder, and what stands for an image, by name.
        every: heads by the same names.
        learned: pools that heads have of their own, which are given tokens.
    """

    checkpoint: EvaluatedCheckpoint
    extractor: Extractor
    every: dict[str, Heads]
    learned: Mapping[str, Pool]

    def fit(
        self,
        optimizer: Callable[[list[Group]], Optimizer],
        schedule: Schedule,
        epochs: int,
        batch_size: int,
        together: int,
    ) -> Iterator[int]:
        """Train, and give the number of each epoch, from 1, once it is done.

        Args:
            optimizer: of groups at their peaks: the rate of a head for 256 images, and as many
                times more as the batch has.
            schedule: of the rate.
            epochs: passes over the training images.
            batch_size: images per step.
            together: images that heads are given at once, of which a step has a whole number.
        """
        factor, gathered = batch_size / 256, batch_size // together
        stepping = optimizer(
            [group for heads in self.every.values() for group in heads.groups(factor)]
        )
        peaks = [group["lr"] for group in stepping.param_groups]
        loader = self.checkpoint.data.train_dataloader(together)
        sampler = loader.sampler
        assert isinstance(sampler, _Shuffles)
        steps = len(sampler) // gathered
        for epoch in range(epochs):
            sampler.set_epoch(epoch)
            total = torch.zeros((), device=next(self.extractor.encoder.parameters()).device)
            batches = itertools.islice(loader, steps * gathered)
            for number, seen in enumerate(self._seen(batches)):
                if number % gathered == 0:
                    done = Progress(epoch * steps + number // gathered, epochs * steps, steps)
                    for group, peak in zip(stepping.param_groups, peaks, strict=True):
                        group["lr"] = peak * schedule(done, peak)
                with torch.enable_grad():
                    losses = [
                        heads.loss(self._given(seen, name), seen.label)
                        for name, heads in self.every.items()
                    ]
                    loss = torch.stack(losses).sum() / gathered
                    loss.backward()
                total += loss.detach()
                if (number + 1) % gathered == 0:
                    stepping.step()
                    stepping.zero_grad()
            mean = total / steps / sum(len(heads.settings) for heads in self.every.values())
            print(f"epoch {epoch + 1}/{epochs}  loss {mean:.4f}", flush=True)
            yield epoch + 1

    @torch.no_grad()
    def scores(self, held_out_limit: int | None) -> tuple[dict[str, Tensor], Tensor]:
        """Scores (heads, M, classes) by name, and labels (M,), of the held-out images."""
        scores: dict[str, list[Tensor]] = {name: [] for name in self.every}
        labels = []
        held_out = self.checkpoint.data.val_dataloader(held_out_limit)
        for seen in extract_batches(self.checkpoint, self.extractor, held_out):
            labels.append(seen.label)
            for name, heads in self.every.items():
                scores[name].append(heads.eval()(self._given(seen, name)))
        for heads in self.every.values():
            heads.train()
        return {name: torch.cat(parts, dim=1) for name, parts in scores.items()}, torch.cat(labels)

    def _given(self, seen: ExtractedBatch, name: str) -> Tensor:
        """What heads are given: what stands for an image, or tokens for their own pool."""
        if name not in self.learned:
            return seen.pooled[name].float()
        pool = self.learned[name]
        return pool_tokens(seen.tokens, self.extractor.encoder.prefix, pool.needs).float()

    def _seen(self, batches: Iterable[Batch]) -> Iterator[ExtractedBatch]:
        """What is seen of each batch: the encoder takes no more at once than the data's batch
        size.
        """
        for batch in batches:
            parts = batch.split(self.checkpoint.data.batch_size)
            seen = list(extract_batches(self.checkpoint, self.extractor, parts))
            pooled = {n: torch.cat([part.pooled[n] for part in seen]) for n in seen[0].pooled}
            yield ExtractedBatch(
                torch.cat([part.tokens for part in seen]),
                pooled,
                torch.cat([part.label for part in seen]),
                torch.cat([part.index for part in seen]),
            )
