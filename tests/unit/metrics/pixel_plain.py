"""Pixel metrics from raw maps by their definitions, one threshold at a time: slow, and sharing no code with bench."""

from collections import deque
from itertools import pairwise

import numpy as np


def components(mask):
    """Sets of pixels of the 8-connected components, by flooding."""
    left = {tuple(place) for place in np.argwhere(mask)}
    found = []
    while left:
        queue, part = deque([left.pop()]), set()
        while queue:
            row, column = queue.popleft()
            part.add((row, column))
            for near in ((row + i, column + j) for i in (-1, 0, 1) for j in (-1, 0, 1)):
                if near in left:
                    left.remove(near)
                    queue.append(near)
        found.append(part)
    return found


def pooled(maps, masks):
    """Labels and values of all pixels."""
    return np.concatenate([m.ravel() for m in masks]), np.concatenate([m.ravel() for m in maps])


def thresholds(maps):
    return sorted({float(value) for one in maps for value in one.ravel()}, reverse=True)


def aupro(maps, masks, limit=0.3):
    lesions = [(one, part) for one, mask in zip(maps, masks, strict=True) for part in components(mask)]
    outside = np.concatenate([one[~mask] for one, mask in zip(maps, masks, strict=True)])
    points = [(0.0, 0.0)]
    for level in thresholds(maps):
        overlap = np.mean([np.mean([one[place] >= level for place in part]) for one, part in lesions])
        points.append(((outside >= level).mean(), overlap))
    area = 0.0
    for (x0, y0), (x1, y1) in pairwise(points):
        if x0 >= limit:
            break
        if x1 > limit:
            y1 = y0 + (y1 - y0) * (limit - x0) / (x1 - x0)
            x1 = limit
        area += (x1 - x0) * (y0 + y1) / 2
    return area / limit


def aupimo(maps, masks, labels, low=1e-5, high=1e-4):
    """At each false-positive rate the recall at the lowest threshold that keeps to it."""
    normal = np.sort(np.concatenate([one.ravel() for one, label in zip(maps, labels, strict=True) if not label]))[::-1]
    cuts = [low, *[k / len(normal) for k in range(len(normal) + 1) if low < k / len(normal) < high], high]
    total = 0.0
    for start, end in pairwise(cuts):
        allowed = int(np.floor((start * end) ** 0.5 * len(normal)))
        # The lowest threshold lies directly above the first normal pixel that would be one too many.
        beyond = normal[allowed]
        recalls = [(one[mask] > beyond).mean() for one, mask in zip(maps, masks, strict=True) if mask.any()]
        total += np.mean(recalls) * np.log10(end / start)
    return total / np.log10(high / low)


def best_dice(maps, masks):
    inside, values = pooled(maps, masks)
    return max(2 * (inside & (values >= t)).sum() / (inside.sum() + (values >= t).sum()) for t in thresholds(maps))


def lesion_sensitivity(maps, masks, tune, within=(0.0, 1.0)):
    highest = sorted(float(one.max()) for one in tune)
    threshold = next(t for t in highest if np.mean([h <= t for h in highest]) >= 0.95 - 1e-12)
    found = [
        max(one[place] for place in part) > threshold
        for one, mask in zip(maps, masks, strict=True)
        for part in components(mask)
        if within[0] <= len(part) / mask.size <= within[1]
    ]
    return np.mean(found)
