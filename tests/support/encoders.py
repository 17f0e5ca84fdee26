"""Small specs of every backbone."""

# A small spec of every kind and clips it must take; odd sizes where the kind promises any.
CASES = {
    "clip": [({"model": "ViT-S-32-alt"}, (2, 32, 64)), ({"model": "ViT-S-16-alt", "levels": (3,)}, (1, 32, 16))],
    "hf": [
        (
            {"config": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}},
            (4, 32, 32),
        )
    ],
    "motionformer": [
        ({"size": "tiny"}, (4, 32, 48)),
        ({"size": "tiny", "project_values": True, "patch": (1, 8, 16), "levels": (3, 1)}, (3, 16, 32)),
    ],
    "mvit": [({"size": "tiny"}, (8, 32, 32)), ({"size": "tiny", "stride": (1, 4, 4), "levels": (0, 4)}, (3, 36, 52))],
    "tiny": [
        ({"patch": (2, 8, 8), "dim": 32, "depth": 2}, (4, 16, 24)),
        ({"patch": (1, 16, 8), "dim": 32, "levels": ()}, (2, 32, 16)),
    ],
    "timm": [({"model": "vit_tiny_patch16_224"}, (2, 32, 16))],
    "timesformer": [
        ({"size": "tiny"}, (3, 32, 48)),
        ({"size": "tiny", "patch": (2, 8, 16), "levels": ()}, (2, 16, 16)),
    ],
    "uniformerv2": [
        ({"size": "tiny"}, (2, 16, 24)),
        ({"size": "tiny", "local": True, "levels": (1,), "reads": (0, 3)}, (4, 16, 16)),
    ],
    "vit": [
        ({"size": "tiny"}, (4, 32, 48)),
        ({"size": "tiny", "summary": "norm_first", "positions": "learned", "patch": (1, 8, 16)}, (3, 16, 32)),
        ({"size": "tiny", "summary": "cls", "levels": (2,)}, (2, 32, 16)),
    ],
}
