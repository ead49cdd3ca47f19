"""Attention within segments on a CPU, from the joint projection, with a hand-written gradient.

Composed of differentiable operators, norms, rotation, padding, attention of every bucket and their joining
are some fifty operators per layer and as many for the gradient. On a CPU small models spend more time on
dispatching these than on arithmetic.

Shapes: T tokens, S slots of all buckets, N segments of a bucket, W its width, H heads, E head width, R
rotated pairs, V variates.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from specseq.models.fused import norm_and_turn, norm_and_turn_gradient
from specseq.models.layout import Layout
from specseq.models.masks import BucketMask

_attend = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_attend_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


class SegmentAttention(torch.autograd.Function):
    """RMS norms of queries and keys, their rotation, and attention within segments with the variate bias.

    It takes the joint projection ``[T, 3, H, E]``, the weights of the norms ``[E]``, the bias ``[2, H]``, the
    epsilon of the norms, cos + i sin of the angles ``[T, 1, R]``, the layout and the masks of its buckets.
    It returns the mixed values ``[T, H, E]``. The bias has no gradient if every segment has a single variate.
    """

    @staticmethod
    def forward(
        ctx: Any,
        qkv_T3HE: Tensor,
        query_weight: Tensor,
        key_weight: Tensor,
        bias_2H: Tensor,
        eps: float,
        cis_T1R: Tensor,
        layout: Layout,
        masks: Sequence[BucketMask],
    ) -> Tensor:
        weight_21E, cis_T11R = torch.stack((query_weight, key_weight))[:, None], cis_T1R[:, None]
        normed_T3HE, scale_T2H1 = norm_and_turn(qkv_T3HE, weight_21E, eps, cis_T11R)
        padding = layout.padding
        slots_S3HE = normed_T3HE if padding is None else normed_T3HE.index_select(0, padding.token_S)
        width = qkv_T3HE.shape[-1]
        outputs, sums, mixed = [], [], []
        for block_NW3HE, mask in _blocks(slots_S3HE, layout, masks):
            operands = _operands(block_NW3HE, mask, bias_2H)
            out_NHWE, sum_NHW = _attend(
                *operands, 0.0, mask.causal, attn_mask=_additive(mask, qkv_T3HE), scale=width**-0.5
            )
            outputs.append(out_NHWE)
            sums.append(sum_NHW)
            mixed.append(out_NHWE[..., :width].transpose(1, 2).flatten(0, 1))
        ctx.save_for_backward(
            qkv_T3HE, weight_21E, scale_T2H1, cis_T11R, bias_2H, slots_S3HE, *outputs, *sums
        )
        ctx.layout, ctx.masks = layout, masks
        mixed_SHE = _joined(mixed) if mixed else qkv_T3HE[:, 0]
        return mixed_SHE if padding is None else mixed_SHE.index_select(0, padding.slot_T)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_THE: Tensor) -> tuple[Tensor | None, ...]:
        qkv_T3HE, weight_21E, scale_T2H1, cis_T11R, bias_2H, slots_S3HE, *kept = ctx.saved_tensors
        layout, padding, width = ctx.layout, ctx.layout.padding, qkv_T3HE.shape[-1]
        grad_SHE = grad_THE
        if padding is not None:
            # What padding attends to is dropped.
            grad_SHE = grad_THE.new_zeros(slots_S3HE[:, 0].shape).index_copy_(0, padding.slot_T, grad_THE)
        grads: list[tuple[Tensor, ...]] = []
        grad_gain_H = None
        given = _blocks(slots_S3HE, layout, ctx.masks)
        results = zip(kept[: len(kept) // 2], kept[len(kept) // 2 :], strict=True)
        upstream = _blocks(grad_SHE, layout, ctx.masks)
        for (block, mask), (out, total), (grad_NWHE, _) in zip(given, results, upstream, strict=True):
            if mask.variate is not None:
                grad_NWHE = torch.nn.functional.pad(grad_NWHE, (0, mask.variate.shape[-1]))
            parts = _attend_backward(
                grad_NWHE.transpose(1, 2),
                *_operands(block, mask, bias_2H),
                out,
                total,
                0.0,
                mask.causal,
                attn_mask=_additive(mask, qkv_T3HE),
                scale=width**-0.5,
            )
            grads.append(tuple(part[..., :width].transpose(1, 2).flatten(0, 1) for part in parts))
            if mask.variate is not None:
                of_gain = torch.einsum("nhwv,nwv->h", parts[0][..., width:], mask.variate.to(grad_THE.dtype))
                grad_gain_H = of_gain if grad_gain_H is None else grad_gain_H + of_gain
        grad_S3HE = (
            torch.stack([_joined(part) for part in zip(*grads, strict=True)], 1) if grads else qkv_T3HE
        )
        grad_T3HE = grad_S3HE if padding is None else grad_S3HE.index_select(0, padding.slot_T)
        grad_weight_2E = norm_and_turn_gradient(grad_T3HE, qkv_T3HE, weight_21E, scale_T2H1, cis_T11R)
        grad_bias = None
        if grad_gain_H is not None:
            grad_bias = torch.stack((-grad_gain_H, grad_gain_H)) * width**0.5
        return grad_T3HE, *grad_weight_2E, grad_bias, None, None, None, None


def _blocks(x_SX: Tensor, layout: Layout, masks: Sequence[BucketMask]) -> Iterator[tuple[Tensor, BucketMask]]:
    """The slots of each bucket, ``[N, W, X]``, with its mask."""
    first = 0
    for bucket, mask in zip(layout.buckets, masks, strict=True):
        last = first + bucket.count * bucket.width
        yield x_SX[first:last].unflatten(0, (bucket.count, bucket.width)), mask
        first = last


def _operands(block_NW3HE: Tensor, mask: BucketMask, bias_2H: Tensor) -> Iterator[Tensor]:
    """Queries, keys and values ``[N, H, W, E]``, or ``E + V`` with the variate bias.

    The difference of the two biases times "same variate" is an inner product of one-hot vectors. In further
    dimensions of queries and keys it needs no additive mask. The part common to all pairs cancels in the
    softmax.
    """
    if mask.variate is not None:
        different_H, same_H = bias_2H
        gain_H = (same_H - different_H) * block_NW3HE.shape[-1] ** 0.5
        factor_3H1 = torch.stack((gain_H, torch.ones_like(gain_H), torch.zeros_like(gain_H)))[..., None]
        further = mask.variate.to(block_NW3HE.dtype)[:, :, None, None] * factor_3H1
        block_NW3HE = torch.cat((block_NW3HE, further), dim=-1)
    return (part_NWHE.transpose(1, 2) for part_NWHE in block_NW3HE.unbind(2))


def _additive(mask: BucketMask, like: Tensor) -> Tensor | None:
    return None if mask.additive is None else mask.additive.to(like.dtype)


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))
