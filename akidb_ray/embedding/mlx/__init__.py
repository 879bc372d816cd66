"""Models on MLX: Metal on macOS, the CPU on Linux.

Importing anything below loads a fast BLAS first, because MLX binds to whichever BLAS it finds when
it is imported.
"""

from akidb_ray.embedding.mlx.blas import load_blas

load_blas()
