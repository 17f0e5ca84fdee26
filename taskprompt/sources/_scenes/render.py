"""Ray casting and shading of one frame: exact depth, normals and ids from MuJoCo, light and textures in numpy."""

# MuJoCo takes its names from compiled modules, which a type checker cannot see into.
# pyright: reportAttributeAccessIssue=false

from typing import NamedTuple

import mujoco
import numpy as np

from taskprompt.sources._scenes.camera import View
from taskprompt.sources._scenes.textures import SIDE
from taskprompt.sources._scenes.world import World

FAR = 30.0  # metres; the rooms are smaller
_JITTER = ((-0.25, 0.25), (0.25, -0.25))  # pixels: offsets of additional rays for pixels on edges


class Frame(NamedTuple):
    """One rendered frame."""

    light: np.ndarray  # h w 3 float32, linear RGB, about 0..1
    geom: np.ndarray  # h w int32: MuJoCo geom
    depth: np.ndarray  # h w float32: metres along the camera's z
    normal: np.ndarray  # h w 3 float32: camera axes


def rays(x: np.ndarray, y: np.ndarray, size: int, focal: float) -> np.ndarray:
    """n, n pixel coordinates -> n 3 unit vectors in camera axes."""
    out = np.stack([(x - size / 2) / focal, (y - size / 2) / focal, np.ones_like(x)], -1)
    return out / np.sqrt((out * out).sum(1, keepdims=True))


def render(world: World, view: View, size: int, focal: float) -> Frame:
    """The posed world as seen by a camera, size x size pixels."""
    y, x = (a.ravel() + 0.5 for a in np.mgrid[:size, :size].astype(float))
    local = rays(x, y, size, focal)
    light, geom, distance, normal, lit = _shade(world, view, local, focal)
    edge = np.flatnonzero(_edges((2 * geom + lit).reshape(size, size)))
    more = np.concatenate([rays(x[edge] + dx, y[edge] + dy, size, focal) for dx, dy in _JITTER])
    extra = _shade(world, view, more, focal)[0].reshape(len(_JITTER), -1, 3)
    light[edge] = (light[edge] + extra.sum(0)) / (1 + len(_JITTER))
    depth = (distance * local[:, 2]).astype(np.float32)
    return Frame(
        light.reshape(size, size, 3),
        geom.reshape(size, size),
        depth.reshape(size, size),
        (normal @ view.rotation.T.astype(np.float32)).reshape(size, size, 3),
    )


def cast(world: World, origin: np.ndarray, directions: np.ndarray, normals: bool = False):
    """3, n 3 unit -> geom n int32 (-1: nothing), distance n metres, normal n 3 or None."""
    n = len(directions)
    geom, distance = np.empty(n, np.int32), np.empty(n)
    normal = np.empty((n, 3)) if normals else None
    flat = np.ascontiguousarray(directions).reshape(-1)
    out = None if normal is None else normal.reshape(-1)
    mujoco.mj_multiRay(world.model, world.data, origin, flat, None, 1, -1, geom, distance, out, n, FAR)
    return geom, distance, normal


def visible(world: World, view: View, points: np.ndarray, slack: float) -> np.ndarray:
    """p 3 world metres -> p bool: nothing is more than `slack` metres in front of the point."""
    way = points - view.origin
    far = np.sqrt((way * way).sum(1))
    return cast(world, view.origin, way / far[:, None])[1] > far - slack


def _edges(ids: np.ndarray) -> np.ndarray:
    """h w -> h w bool: pixels that differ from the next one below or to the right, and those next ones."""
    edge = np.zeros(ids.shape, bool)
    down, right = ids[1:] != ids[:-1], ids[:, 1:] != ids[:, :-1]
    edge[1:] |= down
    edge[:-1] |= down
    edge[:, 1:] |= right
    edge[:, :-1] |= right
    return edge


def _shade(world: World, view: View, local: np.ndarray, focal: float):
    """n 3 rays in camera axes -> light n 3 float32, geom n, distance n, normal n 3 float32, lit n."""
    lamp = world.plan.lamp
    ways = local @ view.rotation
    geom, distance, normals = cast(world, view.origin, ways, normals=True)
    assert normals is not None
    hits = view.origin + ways * distance[:, None]
    normal, way = normals.astype(np.float32), ways.astype(np.float32)
    facing = np.abs(_dot(normal, way))
    albedo = _albedo(world, geom, hits, normal, distance.astype(np.float32) / (focal * np.maximum(facing, 0.1)))

    beam = hits - np.array(lamp.at)
    length = np.sqrt((beam * beam).sum(1))
    beam /= length[:, None]
    # From the lamp to the hits, since one call casts rays from one origin.
    lit = cast(world, np.array(lamp.at), beam)[1] > length - 0.006
    far, beam32 = length.astype(np.float32), beam.astype(np.float32)
    diffuse = np.clip(-_dot(normal, beam32), 0, 1) * lit * (6.5 / (1.5 + far * far))
    half = beam32 + way
    half /= np.sqrt(_dot(half, half))[:, None] + 1e-6
    shine = world.gloss[geom] * lit * np.clip(-_dot(normal, half), 0, 1) ** 32
    ambient = lamp.ambient * (0.75 + 0.25 * normal[:, 2]) + 0.15 * facing
    light = albedo * (ambient[:, None] + (0.55 * diffuse)[:, None] * np.array(lamp.color, np.float32))
    light += shine[:, None]
    light *= np.float32(lamp.exposure)
    return light, geom, distance, normal, lit


def _albedo(world: World, geom: np.ndarray, hits: np.ndarray, normal: np.ndarray, footprint: np.ndarray) -> np.ndarray:
    """Colour of the surface, n 3: the texture tile is projected along the axis that the surface faces most. Details
    smaller than a pixel's footprint (n, metres) fade into the tile's mean, to avoid flicker."""
    turn = world.data.geom_xmat.astype(np.float32).reshape(-1, 3, 3)[geom]
    offset = (hits - world.data.geom_xpos[geom]).astype(np.float32)
    at = np.matmul(offset[:, None], turn)[:, 0]
    axis = np.abs(np.matmul(normal[:, None], turn)[:, 0]).argmax(1)
    first, second = _PLANE[axis].T
    rows, scale = np.arange(len(at)), SIDE / world.tile_size[geom]
    u = (at[rows, first] * scale).astype(np.int32) & (SIDE - 1)
    v = (at[rows, second] * scale).astype(np.int32) & (SIDE - 1)
    tile = world.tile[geom]
    mean = world.means[tile]
    keep = np.clip(world.finest[geom] / footprint - 0.5, 0, 1)
    return mean + (world.tiles[tile, v, u] - mean) * keep[:, None]


_PLANE = np.array([[1, 2], [0, 2], [0, 1]])  # the two other axes


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.einsum("ni,ni->n", a, b)
