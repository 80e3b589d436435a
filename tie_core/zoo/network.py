"""A bidirectional transformer to train the zoo's members with; its parameters carry transformers' names.

The same function as transformers' Llama and Qwen2 classes with `is_causal=False`, in plain
matmul-softmax-matmul: in torch 2.13 the CPU backward of `scaled_dot_product_attention` takes half a step.
"""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

Rotation = tuple[Tensor, Tensor]  # cosines and sines, [T, head_width]


@dataclass(frozen=True, slots=True)
class NetworkShape:
    vocabulary_size: int
    width: int = 128
    num_layers: int = 4
    num_heads: int = 4
    num_kv_heads: int = 4
    mlp_width: int = 384
    has_qkv_bias: bool = False
    has_qk_norm: bool = False
    rope_theta: float = 10_000.0
    norm_eps: float = 1e-6

    @property
    def head_width(self) -> int:
        return self.width // self.num_heads


class RMSNorm(nn.Module):
    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, hidden: Tensor) -> Tensor:
        scale = hidden.float().pow(2).mean(-1, keepdim=True).add(self.eps).rsqrt()
        return (hidden.float() * scale).to(hidden.dtype) * self.weight


class Scaffold(nn.Module):
    """A norm of queries or keys that training takes away again: heads over `rms**strength * size**(1 - strength)`.

    At strength 1 it is the norm that Qwen3 has, at 0 a constant factor, which `fold` puts into the projection.
    """

    size: Tensor  # [num_heads], the usual root mean square of each head
    strength: Tensor  # []

    def __init__(self, num_heads: int, shape: NetworkShape) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(shape.head_width))
        self.register_buffer("size", torch.ones(num_heads), persistent=False)
        self.register_buffer("strength", torch.ones(()), persistent=False)
        self.eps = shape.norm_eps

    def forward(self, heads: Tensor) -> Tensor:
        rms = self._log_rms(heads) * self.strength + self.size.log()[:, None, None] * (1 - self.strength)
        return (heads.float() * rms.neg().exp()).to(heads.dtype) * self.weight

    @torch.no_grad()
    def measure(self, heads: Tensor) -> None:
        """Take the size of these heads as the usual one."""
        self.size.copy_(self._log_rms(heads).mean((0, 2, 3)).exp())

    @torch.no_grad()
    def fold(self, projection: nn.Linear) -> None:
        """Let the projection do what this does at strength 0."""
        factors = (self.weight / self.size[:, None]).flatten()
        projection.weight.mul_(factors[:, None])
        if projection.bias is not None:
            projection.bias.mul_(factors)

    def _log_rms(self, heads: Tensor) -> Tensor:
        return heads.float().pow(2).mean(-1, keepdim=True).add(self.eps).log() / 2


class Attention(nn.Module):
    def __init__(self, shape: NetworkShape, *, is_scaffolded: bool) -> None:
        super().__init__()
        self.shape = shape
        kv_width = shape.num_kv_heads * shape.head_width
        self.q_proj = nn.Linear(shape.width, shape.width, bias=shape.has_qkv_bias)
        self.k_proj = nn.Linear(shape.width, kv_width, bias=shape.has_qkv_bias)
        self.v_proj = nn.Linear(shape.width, kv_width, bias=shape.has_qkv_bias)
        self.o_proj = nn.Linear(shape.width, shape.width, bias=False)
        self.q_norm: nn.Module = nn.Identity()
        self.k_norm: nn.Module = nn.Identity()
        if is_scaffolded:
            self.q_norm, self.k_norm = Scaffold(shape.num_heads, shape), Scaffold(shape.num_kv_heads, shape)
        elif shape.has_qk_norm:
            self.q_norm = RMSNorm(shape.head_width, shape.norm_eps)
            self.k_norm = RMSNorm(shape.head_width, shape.norm_eps)

    def forward(self, hidden: Tensor, rotation: Rotation, unseen: Tensor) -> Tensor:
        batch, length, width = hidden.shape  # hidden: [B, T, D]
        groups = self.shape.num_heads // self.shape.num_kv_heads
        query = self.q_norm(self._heads(self.q_proj(hidden)))
        key = self.k_norm(self._heads(self.k_proj(hidden))).repeat_interleave(groups, dim=1)
        value = self._heads(self.v_proj(hidden)).repeat_interleave(groups, dim=1)
        query, key = _rotate(query, *rotation), _rotate(key, *rotation)
        scores = query @ key.transpose(2, 3) * self.shape.head_width**-0.5
        weights = torch.softmax(scores + unseen, dim=-1)
        mixed = (weights.to(value.dtype) @ value).transpose(1, 2).reshape(batch, length, width)
        out: Tensor = self.o_proj(mixed)
        return out

    def _heads(self, flat: Tensor) -> Tensor:
        batch, length, _ = flat.shape
        return flat.view(batch, length, -1, self.shape.head_width).transpose(1, 2)


class MLP(nn.Module):
    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.width, shape.mlp_width, bias=False)
        self.up_proj = nn.Linear(shape.width, shape.mlp_width, bias=False)
        self.down_proj = nn.Linear(shape.mlp_width, shape.width, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        out: Tensor = self.down_proj(functional.silu(self.gate_proj(hidden)) * self.up_proj(hidden))
        return out


class Layer(nn.Module):
    def __init__(self, shape: NetworkShape, *, is_scaffolded: bool) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(shape.width, shape.norm_eps)
        self.self_attn = Attention(shape, is_scaffolded=is_scaffolded)
        self.post_attention_layernorm = RMSNorm(shape.width, shape.norm_eps)
        self.mlp = MLP(shape)

    def forward(self, hidden: Tensor, rotation: Rotation, unseen: Tensor) -> Tensor:
        hidden = hidden + self.self_attn(self.input_layernorm(hidden), rotation, unseen)
        out: Tensor = hidden + self.mlp(self.post_attention_layernorm(hidden))
        return out


class Trunk(nn.Module):
    def __init__(self, shape: NetworkShape, *, is_scaffolded: bool) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocabulary_size, shape.width)
        self.layers = nn.ModuleList(Layer(shape, is_scaffolded=is_scaffolded) for _ in range(shape.num_layers))
        self.norm = RMSNorm(shape.width, shape.norm_eps)


class Network(nn.Module):
    """With `is_scaffolded`, the norms with which it learns quickly; `plain` has none."""

    def __init__(self, shape: NetworkShape, *, is_scaffolded: bool = False) -> None:
        super().__init__()
        self.shape = shape
        self.model = Trunk(shape, is_scaffolded=is_scaffolded)
        self.lm_head = nn.Linear(shape.width, shape.vocabulary_size, bias=False)
        self.apply(_initialise)

    def forward(self, ids: Tensor, num_last: int) -> Tensor:
        """Raw logits of the last `num_last` positions: [B, T] long -> [B, num_last, V]. Nobody sees ids below 0."""
        rotation = self._rotation(ids.shape[1])
        unseen = torch.where(ids < 0, -torch.inf, 0.0)[:, None, None]  # [B, 1, 1, T]
        hidden = self.model.embed_tokens(ids.clamp(min=0))
        for layer in self.model.layers:
            hidden = layer(hidden, rotation, unseen)
        logits: Tensor = self.lm_head(self.model.norm(hidden[:, -num_last:]))
        return logits

    @property
    def scaffolds(self) -> list[tuple[Scaffold, nn.Linear]]:
        """Each with the projection that it norms."""
        attentions = [module for module in self.modules() if isinstance(module, Attention)]
        pairs = [pair for each in attentions for pair in ((each.q_norm, each.q_proj), (each.k_norm, each.k_proj))]
        return [(norm, projection) for norm, projection in pairs if isinstance(norm, Scaffold)]

    @torch.no_grad()
    def measure(self, ids: Tensor) -> None:
        """Set the scaffolds' sizes by what these ids give: [B, T] long."""
        handles = [
            scaffold.register_forward_pre_hook(lambda module, heads: module.measure(*heads))
            for scaffold, _ in self.scaffolds
        ]
        self(ids, 1)
        for handle in handles:
            handle.remove()

    def plain(self) -> "Network":
        """The same function at strength 0, without scaffolds."""
        folded = copy.deepcopy(self)
        for scaffold, projection in folded.scaffolds:
            scaffold.fold(projection)
        network = Network(self.shape)
        network.load_state_dict({name: folded.state_dict()[name] for name in network.state_dict()})
        return network

    def _rotation(self, length: int) -> Rotation:
        exponents = torch.arange(0, self.shape.head_width, 2) / self.shape.head_width
        angles = torch.outer(torch.arange(length), self.shape.rope_theta**-exponents)
        angles = torch.cat((angles, angles), dim=-1)  # [T, head_width]
        return angles.cos(), angles.sin()


def _rotate(heads: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    first, second = heads.chunk(2, dim=-1)
    return heads * cosine.to(heads.dtype) + torch.cat((-second, first), dim=-1) * sine.to(heads.dtype)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=module.in_features**-0.5 * 0.5)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, std=0.5)
