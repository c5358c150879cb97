"""Where a data set lies while it is trained on, and how its batches come to the device."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from shrinknets_core.data import Rows, Split

RESIDENT_SHARE = 0.5
"""A data set that takes more of the device's free memory than this stays with the processor."""


def place(split: Split, device: torch.device | str) -> Split:
    """Return the split on the device, or where it is if it would take too much of its memory.

    Only CUDA devices are asked for their memory; all others take any split.
    """
    where = torch.device(device)
    if where.type == "cuda" and num_bytes(split) > RESIDENT_SHARE * _free_bytes(where):
        return split
    return split.to(where)


def num_bytes(split: Split) -> int:
    """Bytes of all rows of a split."""
    rows = (split.train, split.validation, split.test)
    return sum(tensor.nbytes for part in rows for tensor in (part.x, part.y))


def draw_batches(
    rows: Rows, batch_size: int, rng: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield an epoch's batches in an order drawn from the generator, on its device."""
    order = torch.randperm(len(rows), generator=rng, device=rng.device)
    return batches(rows, order, batch_sizes(len(rows), batch_size), rng.device)


def batch_sizes(rows: int, batch_size: int) -> list[int]:
    """Return the sizes of an epoch's batches; a last row alone joins the batch before.

    Batch norm can't work with one example.
    """
    sizes = [batch_size] * (rows // batch_size)
    rest = rows % batch_size
    if rest == 1 and sizes:
        sizes[-1] += 1
    elif rest:
        sizes.append(rest)
    return sizes


def batches(
    rows: Rows, order: Tensor, sizes: Sequence[int], device: torch.device | str
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield x and y of each batch on the device, the same ones wherever the rows lie.

    Args:
        rows: on the device, or on the CPU.
        order: (n,) int64, on any device: the places of the rows as they are to come.
        sizes: of the batches, n in all.
        device: where the batches are wanted.
    """
    chunks = torch.split(order.to(rows.x.device), list(sizes))
    if rows.x.device.type == torch.device(device).type:
        for indices in chunks:
            yield rows.x.index_select(0, indices), rows.y.index_select(0, indices)
    else:
        yield from prefetched(rows, chunks, torch.device(device))


def prefetched(
    rows: Rows, chunks: Sequence[Tensor], device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches of rows that lie on the CPU; the next is copied while one is worked on.

    On CUDA they go through page-locked memory, on a stream of their own: nothing waits for a copy
    but the kernels that need it.
    """
    is_cuda = device.type == "cuda"
    stream = torch.cuda.Stream(device) if is_cuda else None  # type: ignore[no-untyped-call]
    ahead: tuple[Tensor, Tensor] | None = None
    for indices in [*chunks, None]:
        ready = ahead
        if stream is not None and ready is not None:
            torch.cuda.current_stream(device).wait_stream(stream)
            for tensor in ready:
                # Its memory may be given to the next copy only when these kernels are done.
                tensor.record_stream(torch.cuda.current_stream(device))
        if indices is not None:
            gathered = [_gather(tensor, indices, pin=is_cuda) for tensor in (rows.x, rows.y)]
            with torch.cuda.stream(stream):
                x, y = (tensor.to(device, non_blocking=True) for tensor in gathered)
            ahead = (x, y)
        if ready is not None:
            yield ready


def in_parts(x: Tensor, y: Tensor, number: int) -> list[tuple[Tensor, Tensor]]:
    """Cut a batch into so many parts of nearly equal size, or fewer, so that each has two rows.

    Batch norm can't work with one example.
    """
    number = max(1, min(number, len(y) // 2))
    if number == 1:
        return [(x, y)]
    return list(zip(x.tensor_split(number), y.tensor_split(number), strict=True))


def _gather(tensor: Tensor, indices: Tensor, *, pin: bool) -> Tensor:
    shape = (len(indices), *tensor.shape[1:])
    out = torch.empty(shape, dtype=tensor.dtype, pin_memory=pin)
    return torch.index_select(tensor, 0, indices, out=out)


def _free_bytes(device: torch.device) -> float:
    """What this process may still take, which is less than what is free on a shared card."""
    free, total = torch.cuda.mem_get_info(device)
    own = torch.cuda.get_per_process_memory_fraction(device) * total
    return min(free, own - torch.cuda.memory_reserved(device))
