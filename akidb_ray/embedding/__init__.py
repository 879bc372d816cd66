"""Turns texts into unit vectors. MLX is imported only below `mlx/`, and only when a model loads."""
