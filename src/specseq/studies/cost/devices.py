"""What devices can do: rates, memory and overheads, from their data sheets or measured here."""

from pathlib import Path

from specseq.errors import InputError
from specseq.settings import STRICT, Field, dataclass, near, read
from specseq.yaml_files import read_yaml


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Device:
    """A device, as the numbers that determine its time per operator."""

    name: str = Field(description="what it is called")
    float32: float = Field(gt=0, description="TFLOP/s of float32 products, without TF32")
    bfloat16: float = Field(gt=0, description="TFLOP/s of bfloat16 products, dense")
    float64: float = Field(gt=0, description="TFLOP/s of float64 products")
    tf32: float | None = Field(
        default=None, gt=0, description="TFLOP/s of float32 products in TF32, dense; null: as float32"
    )
    bandwidth: float = Field(gt=0, description="GB/s of its memory")
    memory: float = Field(gt=0, description="GB of memory")
    utilisation: float = Field(
        default=0.5, gt=0, le=1, description="share of the rates that large products reach within training"
    )
    streaming: float = Field(
        default=0.7, gt=0, le=1, description="share of the bandwidth that element-wise operators reach"
    )
    kernel: float = Field(default=8e-6, ge=0, description="least seconds per operator, the interpreter's")
    view: float = Field(default=0.0, ge=0, description="seconds per operator that moves no data")
    host: bool = Field(default=False, description="whether batches are made by the same cores")

    def rate(self, precision: str) -> float:
        """FLOP/s of products whose result has this precision."""
        name = {"complex64": "float32", "complex128": "float64"}.get(precision, precision)
        return 1e12 * self.utilisation * float(getattr(self, name, None) or self.float32)


DEVICES = {
    device.name: device
    for device in (
        Device(name="h100", float32=67, bfloat16=989, float64=34, tf32=495, bandwidth=3350, memory=80),
        Device(name="h200", float32=67, bfloat16=989, float64=34, tf32=495, bandwidth=4800, memory=141),
        Device(name="a100", float32=19.5, bfloat16=312, float64=9.7, tf32=156, bandwidth=2039, memory=80),
        Device(name="rtx4090", float32=82.6, bfloat16=165, float64=1.3, bandwidth=1008, memory=24),
        # One x86-64 core with AVX-512, as the recorded runs of the laptop scale had it.
        Device(
            name="cpu",
            float32=0.11,
            bfloat16=0.11,
            float64=0.05,
            bandwidth=12,
            memory=16,
            kernel=6e-6,
            view=2e-6,
            host=True,
        ),
    )
}


def read_device(name: str) -> Device:
    """A device by its name, or from a YAML file.

    Raises:
        InputError: there is none, or the file is wrong.
    """
    if name in DEVICES:
        return DEVICES[name]
    path = Path(name)
    if not path.is_file():
        raise InputError("--gpu", f"{name!r} is neither a known device nor a file", near(name, DEVICES))
    return read(Device, read_yaml(path), str(path))
