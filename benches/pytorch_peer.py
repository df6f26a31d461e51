#!/usr/bin/env python3
"""CNN3D in PyTorch: the peer with which ctpipe's training is compared and checked.

    pytorch_peer.py speed train|infer --width 64 --batch 8 --steps 6 --mode channels_last [--residual] [--compile] [--device cuda]
    pytorch_peer.py train IMAGES.npz --width 16 --epochs 12 --lr 3e-4 --batch 16 --seed 42
    pytorch_peer.py step OUT.safetensors --width 8 --batch 4 --dtype f64 [--residual]
    pytorch_peer.py init OUT.safetensors --width 4 --hidden 64 [--residual]
    pytorch_peer.py predict MODEL.safetensors VOLUMES.npy --width 4 --hidden 64 [--residual]

`step` writes weights, input, target, logits, loss, gradients and the weights after one step of
Adam. `predict` loads a model.safetensors and prints the probabilities of volumes [N, 64, 64, 64] of
16-bit voxels. The last line is one JSON object.
"""
import argparse
import json
import resource
import statistics
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


class CNN3D(nn.Module):
    """[N, 1, 64, 64, 64] to [N, 2] logits."""

    def __init__(self, width, residual, hidden=512, dropout=0.3):
        super().__init__()
        channels = [1, width, 2 * width, 4 * width]
        self.conv = nn.ModuleList(nn.Conv3d(i, o, 3, padding=1) for i, o in zip(channels, channels[1:]))
        self.bn = nn.ModuleList(nn.BatchNorm3d(c) for c in channels[1:])
        self.skip = nn.ModuleList(nn.Conv3d(i, o, 1) for i, o in zip(channels, channels[1:])) if residual else None
        self.dropout = nn.Dropout(dropout)
        self.fc1 = nn.Linear(4 * width * 512, hidden)
        self.fc2 = nn.Linear(hidden, 2)

    def forward(self, x):
        for block, (conv, bn) in enumerate(zip(self.conv, self.bn)):
            y = bn(conv(x))
            if self.skip is not None:
                y = y + self.skip[block](x)
            x = F.max_pool3d(F.relu(y), 2)
        return self.fc2(self.dropout(F.relu(self.fc1(x.flatten(1)))))


def memory_format(mode):
    return torch.contiguous_format if mode == "f32" else torch.channels_last_3d


def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def speed(a):
    torch.manual_seed(0)
    cuda = a.device == "cuda"
    model = CNN3D(a.width, a.residual).to(a.device, memory_format=memory_format(a.mode))
    model.train(a.what == "train")
    run = torch.compile(model) if a.compile else model
    optimizer = torch.optim.Adam(model.parameters(), 1e-4, fused=cuda or None)
    x = torch.rand(a.batch, 1, 64, 64, 64, device=a.device).to(memory_format=memory_format(a.mode))
    y = torch.arange(a.batch, device=a.device) % 2
    if cuda:
        # PyTorch's fastest settings: the best algorithm for each shape, f32 products in TF32.
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    finish = torch.cuda.synchronize if cuda else lambda: None
    seconds = []
    for _ in range(a.steps):
        finish()
        start = time.perf_counter()
        with torch.autocast(a.device, dtype=torch.bfloat16, enabled=a.mode == "bf16"):
            if a.what == "train":
                loss = F.cross_entropy(run(x), y)
            else:
                with torch.inference_mode():
                    run(x)
        if a.what == "train":
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        finish()
        seconds.append(time.perf_counter() - start)
    step = statistics.median(seconds[min(max(1, a.steps // 4), a.steps - 1):])
    return {"mode": a.mode, "compile": a.compile, "width": a.width, "batch": a.batch, "seconds_per_volume": step / a.batch,
            "peak_mb": peak_mb(), "torch": torch.__version__, "threads": torch.get_num_threads()}


def train(a):
    from sklearn.metrics import roc_auc_score
    torch.manual_seed(a.seed)
    arrays = np.load(a.npz)
    data = {s: (torch.from_numpy(arrays[f"{s}_images"]), torch.from_numpy(arrays[f"{s}_labels"].ravel().astype(np.int64)))
            for s in ("train", "val")}
    volumes = lambda images: (images.float() / 255)[:, None].to(memory_format=torch.channels_last_3d)
    model = CNN3D(a.width, a.residual).to(memory_format=torch.channels_last_3d)
    optimizer = torch.optim.Adam(model.parameters(), a.lr, weight_decay=1e-4)
    images, labels = data["train"]
    weight = torch.tensor([1 / (labels == c).sum() for c in (0, 1)])[labels]
    history = []
    for epoch in range(a.epochs):
        start = time.perf_counter()
        model.train()
        for batch in torch.multinomial(weight, len(weight), replacement=True).split(a.batch):
            loss = F.cross_entropy(model(volumes(images[batch])), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        seconds = time.perf_counter() - start
        model.eval()
        with torch.inference_mode():
            x, y = data["val"]
            p = torch.cat([model(volumes(part)).softmax(1)[:, 1] for part in x.split(16)])
        history.append({"epoch": epoch + 1, "val_auc": roc_auc_score(y, p), "seconds": seconds})
        print(json.dumps(history[-1]), flush=True)
    return {"seed": a.seed, "best_val_auc": max(row["val_auc"] for row in history), "history": history}


def step(a):
    from safetensors.torch import save_file
    torch.manual_seed(a.seed)
    dtype = torch.float64 if a.dtype == "f64" else torch.float32
    model = CNN3D(a.width, a.residual, dropout=0.0).to(dtype)  # drawn in f32: both dtypes start from the same values
    out = {f"weight.{k}": v.clone() for k, v in model.state_dict().items()}
    x, y = torch.rand(a.batch, 1, 64, 64, 64).to(dtype), torch.arange(a.batch) % 2
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, weight_decay=1e-4)
    logits = model(x)
    loss = F.cross_entropy(logits, y)
    loss.backward()
    out |= {f"grad.{k}": p.grad.clone() for k, p in model.named_parameters()}
    optimizer.step()
    out |= {f"after.{k}": v.clone() for k, v in model.state_dict().items()}
    model.eval()
    out |= {"input": x, "target": y, "logits": logits.detach(), "loss": loss.detach(), "eval_logits": model(x).detach()}
    save_file({k: v.contiguous() for k, v in out.items()}, a.out)
    return {"wrote": a.out, "loss": loss.item()}


def init(a):
    """Freshly drawn weights, as torch.save's safer sibling writes a state_dict."""
    from safetensors.torch import save_file
    torch.manual_seed(a.seed)
    save_file(CNN3D(a.width, a.residual, a.hidden).state_dict(), a.out)
    return {"wrote": a.out}


def predict(a):
    from safetensors.torch import load_file
    model = CNN3D(a.width, a.residual, a.hidden)
    model.load_state_dict(load_file(a.model), strict=True)
    model.eval()
    x = torch.from_numpy(np.load(a.volumes).astype(np.float32) / 65535)[:, None]
    with torch.inference_mode():
        probabilities = torch.cat([model(part).softmax(1)[:, 1] for part in x.split(8)])
    return {"probabilities": probabilities.double().tolist()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for name, call in (("speed", speed), ("train", train), ("step", step), ("init", init), ("predict", predict)):
        verb = verbs.add_parser(name)
        verb.set_defaults(call=call)
        verb.add_argument("--width", type=int, default=64)
        verb.add_argument("--batch", type=int, default=8)
        verb.add_argument("--residual", action="store_true")
        verb.add_argument("--seed", type=int, default=42)
        if name == "speed":
            verb.add_argument("what", choices=["train", "infer"])
            verb.add_argument("--steps", type=int, default=6)
            verb.add_argument("--mode", choices=["f32", "channels_last", "bf16"], default="channels_last")
            verb.add_argument("--compile", action="store_true")
            verb.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
        if name == "train":
            verb.add_argument("npz")
            verb.add_argument("--epochs", type=int, default=12)
            verb.add_argument("--lr", type=float, default=3e-4)
        if name in ("step", "init"):
            verb.add_argument("out")
        if name in ("init", "predict"):
            verb.add_argument("--hidden", type=int, default=512)
        if name == "step":
            verb.add_argument("--dtype", choices=["f32", "f64"], default="f32")
        if name == "predict":
            verb.add_argument("model")
            verb.add_argument("volumes")
    args = parser.parse_args()
    print(json.dumps(args.call(args)))


if __name__ == "__main__":
    main()
