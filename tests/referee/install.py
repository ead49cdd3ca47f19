"""Install the upstream package aside: ``python tests/referee/install.py`` fills ``.cache/referee``.

uni2ts pins torch below 2.5 and numpy below 2. Its model code runs on current ones, so it goes without its
dependencies into an environment of its own that sees the project's packages behind its own few: the
comparison then has the same torch, and so the same kernels, on both sides.
"""

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

FOLDER = Path(__file__).parents[2] / ".cache" / "referee"
REQUIREMENTS = (
    "uni2ts==2.0.0",
    "antlr4-python3-runtime==4.9.3",
    "einops==0.7.0",
    "hydra-core==1.3.2",
    "jax==0.10.2",
    "jaxlib==0.10.2",
    "jaxtyping==0.3.11",
    "lightning==2.6.6",
    "lightning-utilities==0.15.3",
    "ml_dtypes==0.6.0",
    "omegaconf==2.4.0",
    "opt_einsum==3.4.0",
    "orjson==3.13.0",
    "python-dotenv==1.2.4",
    "pytorch-lightning==2.6.6",
    "torchmetrics==1.9.0",
    "wadler_lindig==0.1.8",
)


def main() -> None:
    """Create the environment, point it at the project's packages and install."""
    venv.create(FOLDER, with_pip=True, clear=True)
    python = FOLDER / "bin" / "python"
    site = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    shared = [sysconfig.get_path("purelib"), str(Path(__file__).parents[2] / "src")]
    (FOLDER / site / "project.pth").write_text("\n".join(shared) + "\n")
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", *REQUIREMENTS], check=True)
    subprocess.run([python, "-c", "import uni2ts.model.moirai"], check=True)
    print(f"uni2ts stands in {FOLDER}")


if __name__ == "__main__":
    main()
