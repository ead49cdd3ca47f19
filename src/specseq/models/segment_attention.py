"""Attention within segments on a CPU, from tokens to mixed values, with a hand-written gradient.

Composed of differentiable operators, projection, norms, rotation, padding, attention of every bucket and
their joining are some fifty operators per layer and as many for the gradient. On a CPU small models spend
more time on dispatching these than on arithmetic.

Shapes: T tokens, D model width, S slots of all buckets, N segments of a bucket, W its width, H heads, E head
width, R rotated pairs, V variates.
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
    """The joint projection, RMS norms of queries and keys, their rotation, and attention within segments.

    It takes tokens ``[T, D]``, the weights of the projection ``[3 D, D]`` and of the norms ``[E]``, the
    variate bias ``[2, H]``, the epsilon of the norms, cos + i sin of the angles ``[T, H, R]``, the layout and
    the masks of its buckets. It returns the mixed values ``[T, D]``. The bias has no gradient if every
    segment has a single variate. Queries, keys and values are apart in memory, where element-wise operations
    on the first two are several times quicker than on two thirds of every row.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x_TD: Tensor,
        projection: Tensor,
        query_weight: Tensor,
        key_weight: Tensor,
        bias_2H: Tensor,
        eps: float,
        cis_THR: Tensor,
        layout: Layout,
        masks: Sequence[BucketMask],
    ) -> Tensor:
        qkv_3TD = torch.bmm(x_TD.expand(3, -1, -1), projection.unflatten(0, (3, -1)).mT)
        qkv_3THE = qkv_3TD.unflatten(-1, (bias_2H.shape[1], -1))
        weight_211E, width = torch.stack((query_weight, key_weight))[:, None, None], qkv_3THE.shape[-1]
        slots_3SHE, scale_2TH1 = norm_and_turn(qkv_3THE, weight_211E, eps, cis_THR)
        padding = layout.padding
        if padding is not None:
            slots_3SHE = slots_3SHE.index_select(1, padding.token_S)
        outputs, sums, mixed = [], [], []
        for block_3NWHE, mask in _blocks(slots_3SHE, layout, masks):
            out_NHWE, sum_NHW = _attend(
                *_operands(block_3NWHE, mask, bias_2H),
                0.0,
                mask.causal,
                attn_mask=_additive(mask, x_TD),
                scale=width**-0.5,
            )
            outputs.append(out_NHWE)
            sums.append(sum_NHW)
            mixed.append(_unblocked(out_NHWE, width))
        kept = (x_TD, projection, qkv_3THE, weight_211E, scale_2TH1, cis_THR, bias_2H, slots_3SHE)
        ctx.save_for_backward(*kept, *outputs, *sums)
        ctx.layout, ctx.masks = layout, masks
        mixed_SD = _joined(mixed) if mixed else x_TD
        return mixed_SD if padding is None else mixed_SD.index_select(0, padding.slot_T)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_TD: Tensor) -> tuple[Tensor | None, ...]:
        x_TD, projection, *normed, bias_2H, slots_3SHE = ctx.saved_tensors[:8]
        kept, layout, padding = ctx.saved_tensors[8:], ctx.layout, ctx.layout.padding
        qkv_3THE, width = normed[0], slots_3SHE.shape[-1]
        grad_SD = grad_TD
        if padding is not None:
            # What padding attends to is dropped.
            grad_SD = grad_TD.new_zeros(slots_3SHE.shape[1], grad_TD.shape[1])
            grad_SD.index_copy_(0, padding.slot_T, grad_TD)
        grads: list[tuple[Tensor, ...]] = []
        grad_gain_H = None
        given = _blocks(slots_3SHE, layout, ctx.masks)
        results = zip(kept[: len(kept) // 2], kept[len(kept) // 2 :], strict=True)
        upstream = _blocks(grad_SD.view(1, -1, *slots_3SHE.shape[2:]), layout, ctx.masks)
        for (block, mask), (out, total), (grad_1NWHE, _) in zip(given, results, upstream, strict=True):
            grad_NWHE = grad_1NWHE[0]
            if mask.variate is not None:
                grad_NWHE = torch.nn.functional.pad(grad_NWHE, (0, mask.variate.shape[-1]))
            parts = _attend_backward(
                grad_NWHE.transpose(1, 2),
                *_operands(block, mask, bias_2H),
                out,
                total,
                0.0,
                mask.causal,
                attn_mask=_additive(mask, x_TD),
                scale=width**-0.5,
            )
            grads.append(tuple(_unblocked(part, width) for part in parts))
            if mask.variate is not None:
                of_gain = torch.einsum("nhwv,nwv->h", parts[0][..., width:], mask.variate.to(grad_TD.dtype))
                grad_gain_H = of_gain if grad_gain_H is None else grad_gain_H + of_gain
        grad_3TD = torch.stack([_joined(part) for part in zip(*grads, strict=True)]) if grads else qkv_3THE
        if padding is not None:
            grad_3TD = grad_3TD.index_select(1, padding.slot_T)
        grad_weight_2E = norm_and_turn_gradient(grad_3TD.view(qkv_3THE.shape), *normed)
        grad_3TD = grad_3TD.view(3, *x_TD.shape)
        grad_projection = torch.bmm(grad_3TD.mT, x_TD.expand(3, -1, -1)).flatten(0, 1)
        (query, key, value), (of_query, of_key, of_value) = projection.chunk(3), grad_3TD.unbind(0)
        grad_x_TD = torch.mm(of_query, query).addmm_(of_key, key).addmm_(of_value, value)
        grad_bias = None
        if grad_gain_H is not None:
            grad_bias = torch.stack((-grad_gain_H, grad_gain_H)) * width**0.5
        return grad_x_TD, grad_projection, *grad_weight_2E, grad_bias, None, None, None, None


def _blocks(
    x_3SX: Tensor, layout: Layout, masks: Sequence[BucketMask]
) -> Iterator[tuple[Tensor, BucketMask]]:
    """The slots of each bucket, ``[3, N, W, X]``, with its mask."""
    first = 0
    for bucket, mask in zip(layout.buckets, masks, strict=True):
        last = first + bucket.count * bucket.width
        yield x_3SX[:, first:last].unflatten(1, (bucket.count, bucket.width)), mask
        first = last


def _operands(block_3NWHE: Tensor, mask: BucketMask, bias_2H: Tensor) -> Iterator[Tensor]:
    """Queries, keys and values ``[N, H, W, E]``, or ``E + V`` with the variate bias.

    The difference of the two biases times "same variate" is an inner product of one-hot vectors. In further
    dimensions of queries and keys it needs no additive mask. The part common to all pairs cancels in the
    softmax.
    """
    if mask.variate is not None:
        different_H, same_H = bias_2H
        gain_H = (same_H - different_H) * block_3NWHE.shape[-1] ** 0.5
        factor_3H = torch.stack((gain_H, torch.ones_like(gain_H), torch.zeros_like(gain_H)))
        variate_NW1V = mask.variate.to(block_3NWHE.dtype)[:, :, None]
        block_3NWHE = torch.cat((block_3NWHE, variate_NW1V * factor_3H[:, None, None, :, None]), dim=-1)
    return (part_NWHE.transpose(1, 2) for part_NWHE in block_3NWHE.unbind(0))


def _unblocked(x_NHWE: Tensor, width: int) -> Tensor:
    """``[N W, D]``: the first ``width`` of E dimensions of all heads, side by side."""
    return x_NHWE[..., :width].transpose(1, 2).flatten(2).flatten(0, 1)


def _additive(mask: BucketMask, like: Tensor) -> Tensor | None:
    return None if mask.additive is None else mask.additive.to(like.dtype)


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))
