"""The spectral transform unit (STU): a sequence mixer with fixed filters and learned projections.

With spectral filters :math:`\\phi_k` the unit sums two branches, the filters as they are and with alternating
sign (Flash STU, arXiv:2409.10489, section 3). Both are one convolution here, because the alternation of
the minus branch can be moved from the signal to the filter:
:math:`(-1)^t \\sum_s \\phi(t-s) (-1)^s u_s = \\sum_s (-1)^{t-s} \\phi(t-s) u_s`.

Shapes: N tokens, D model width, I convolved channels (D unless set apart), L filter length, K filters.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from specseq.models.stu.convolution import Method, segment_convolution
from specseq.models.stu.hankel import spectral_filters
from specseq.models.stu.segments import SegmentTables

Mode = Literal["shared", "signed", "full"]


class SpectralTransformUnit(nn.Module):
    """Mixes the tokens of every segment causally.

    Modes:
        ``shared``: one combination of the filters per channel serves both branches, as published. Only even
            lags remain, counted twice, so a token never sees its direct predecessor.
        ``signed``: each branch has its own combination, which restores the odd lags at the cost of K·D
            parameters and no further convolution.
        ``full``: a D×D matrix for each filter and branch, without the factorisation; 2·K·D² parameters and
            2·K convolutions, so keep K small.

    The filters are a buffer saved with the checkpoint: past the twentieth they are rounding noise, which
    another machine would not reproduce.
    """

    phi_LK: Tensor

    def __init__(
        self,
        width: int,
        length: int = 512,
        filters: int = 24,
        mode: Mode = "signed",
        inner: int | None = None,
        published: bool = False,
    ) -> None:
        """
        Args:
            length: longest segment, L; also the size of the Hankel matrix.
            inner: number of channels I to convolve and project back to D ("sandwich"); None convolves D
                channels and has no output projection.
            published: wrap each segment onto itself, as the published code does, with transforms no longer
                than the segment's bucket. Not causal; for reproduction only.
        """
        super().__init__()
        self.width, self.length, self.mode = width, length, mode
        self.method: Method = "circular" if published else "auto"
        self.register_buffer("phi_LK", torch.from_numpy(spectral_filters(length, filters).copy()))
        if mode == "full":
            self.plus_KDD = nn.Parameter(torch.empty(filters, width, width))
            self.minus_KDD = nn.Parameter(torch.empty(filters, width, width))
        else:
            channels = inner or width
            self.inputs_DI = nn.Parameter(torch.empty(width, channels))
            self.plus_KI = nn.Parameter(torch.empty(filters, channels))
            self.minus_KI = nn.Parameter(torch.empty(filters, channels)) if mode == "signed" else None
            self.outputs_ID = nn.Parameter(torch.empty(channels, width)) if inner else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Normal draws with Glorot's variance, matrix by matrix."""
        for parameter in self.parameters():
            for matrix in parameter if parameter.dim() == 3 else (parameter,):
                nn.init.xavier_normal_(matrix)

    def impulse_response(self) -> Tensor:
        """``[L, I]``: response of each channel's convolution to a unit impulse (factorised modes).

        :math:`h_\\tau = \\phi_\\tau (M^+ + (-1)^\\tau M^-)`, with :math:`M^- = M^+` in ``shared``.
        """
        if self.mode == "full":
            raise ValueError("the full unit mixes channels; it has no response per channel")
        # Regardless of autocast, since rounding the response to bfloat16 changes the filter.
        with torch.autocast(self.phi_LK.device.type, enabled=False):
            phi_LK = self.phi_LK.to(self.plus_KI.dtype)
            plus_LI = phi_LK @ self.plus_KI
            minus_LI = plus_LI if self.minus_KI is None else phi_LK @ self.minus_KI
            return plus_LI + self._signs(plus_LI) * minus_LI

    def forward(self, x_ND: Tensor, tables: SegmentTables) -> Tensor:
        """Mix flat tokens ``[N, D]`` within the segments of ``tables``."""
        if self.mode == "full":
            return self._full(x_ND, tables)
        # The product has channels first, as the convolution requires.
        u_NI = (self.inputs_DI.T @ x_ND.T).T
        y_NI = segment_convolution(u_NI, self.impulse_response(), tables, self.method)
        return y_NI if self.outputs_ID is None else y_NI @ self.outputs_ID

    def _full(self, x_ND: Tensor, tables: SegmentTables) -> Tensor:
        phi_LK = self.phi_LK.to(self.plus_KDD.dtype)
        signs_L1 = self._signs(phi_LK)
        y_ND = torch.zeros_like(x_ND)
        for branch_LK, matrices_KDD in ((phi_LK, self.plus_KDD), (phi_LK * signs_L1, self.minus_KDD)):
            for filter_L, matrix_DD in zip(branch_LK.unbind(1), matrices_KDD, strict=True):
                # The filter is the same in all channels, so projecting first or last gives the same sum.
                filter_LD = filter_L[:, None].expand(-1, self.width)
                y_ND = y_ND + segment_convolution(x_ND @ matrix_DD, filter_LD, tables, self.method)
        return y_ND

    @staticmethod
    def _signs(like_LX: Tensor) -> Tensor:
        signs_L1 = torch.ones_like(like_LX[:, :1])
        signs_L1[1::2] = -1
        return signs_L1
