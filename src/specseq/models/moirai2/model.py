"""Moirai 2.0 (arXiv:2511.11698): a causal decoder over patches that predicts quantiles of the next patches.

Legend: T tokens, P points a token, D width, F predicted tokens, Q quantile levels, K tokens that predict,
C hints.
"""

import torch
from torch import Tensor, nn

from specseq.models.layers import Attention, Block, Encoder, ResidualBlock, TokenContext
from specseq.models.layout import Layout
from specseq.models.moirai2.config import Moirai2Config


class Moirai2(nn.Module):
    """Embedding, decoder and quantile head; 11,387,208 parameters at the published size.

    Hints are further inputs of the embedding. Their weights are kept apart from the others, so that a hint of
    zeros leaves the model what it is without, to the bit.
    """

    def __init__(self, config: Moirai2Config, hints: int = 0) -> None:
        """
        Args:
            config: sizes.
            hints: number of hint channels, C.
        """
        super().__init__()
        self.config = config
        dim, points = config.d_model, config.patch
        self.embed = ResidualBlock(2 * points, dim, dim)
        layers = [
            Block(dim, config.feed_forward, Attention(dim, config.head_count)) for _ in range(config.layers)
        ]
        self.decoder = Encoder(dim, list(layers))
        self.head = self.new_head()
        self.hint_hidden = nn.Linear(hints * points, dim, bias=False) if hints else None
        self.hint_skip = nn.Linear(hints * points, dim, bias=False) if hints else None

    def new_head(self) -> ResidualBlock:
        """A head of this model's size."""
        config = self.config
        outputs = config.predicted * len(config.quantile_levels) * config.patch
        return ResidualBlock(config.d_model, config.d_model, outputs)

    def tokens(self, values_TP: Tensor, observed_TP: Tensor, hints_TCP: Tensor | None = None) -> Tensor:
        """Embeddings ``[T, D]``.

        Args:
            values_TP: scaled values, 0 where not observed or hidden.
            observed_TP: boolean; False where not observed or hidden.
            hints_TCP: scaled hints, 0 where there are none.
        """
        inputs = torch.cat((values_TP, observed_TP.to(values_TP.dtype)), dim=-1)
        block = self.embed
        hidden, skip = block.hidden(inputs), block.skip(inputs)
        if self.hint_hidden is not None and self.hint_skip is not None and hints_TCP is not None:
            hints = hints_TCP.flatten(1)
            hidden, skip = hidden + self.hint_hidden(hints), skip + self.hint_skip(hints)
        return block.out(nn.functional.silu(hidden)) + skip

    def context(self, layout: Layout, time_T: Tensor) -> TokenContext:
        """What the attention layers share: every sample is one variate, tokens in time order."""
        pairs = self.config.head_width // 4
        return TokenContext.of(layout, time_T, torch.zeros_like(time_T), pairs, causal=True)

    def forward(self, tokens_TD: Tensor, context: TokenContext) -> Tensor:
        """Hidden states ``[T, D]``; that of a token depends on it and earlier ones of its segment."""
        return self.decoder(tokens_TD, context)

    def quantiles(self, hidden_KD: Tensor, head: ResidualBlock | None = None) -> Tensor:
        """Predictions ``[K, F, Q, P]`` in scaled space, never in half precision."""
        config = self.config
        predicted = (head or self.head)(hidden_KD)
        if predicted.dtype == torch.bfloat16:
            predicted = predicted.float()
        return predicted.unflatten(-1, (config.predicted, len(config.quantile_levels), config.patch))
