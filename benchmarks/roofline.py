"""How long a step takes by a device's published peaks: arithmetic or memory, whichever is slower."""

import dataclasses
import math
import re


@dataclasses.dataclass(frozen=True)
class Device:
    """What a maker says of a device; nothing here is measured.

    Attributes:
        name: of the device.
        flops: per second, dense bfloat16.
        bandwidth: bytes per second to its memory.
        memory: bytes.
        link: bytes per second to the other devices, one way: half of the published total.
    """

    name: str
    flops: float
    bandwidth: float
    memory: float
    link: float


# NVIDIA's data sheets of the H200, H100 (SXM), A100 (80 GB, SXM) and L4 (linked by PCIe), figures with
# sparsity halved; Google's page of the TPU v5e.
H200 = Device('H200', 989e12, 4.8e12, 141e9, 450e9)
H100 = Device('H100', 989e12, 3.35e12, 80e9, 450e9)
A100 = Device('A100', 312e12, 2.039e12, 80e9, 300e9)
L4 = Device('L4', 121e12, 300e9, 24e9, 32e9)
V5E = Device('v5e', 197e12, 819e9, 16e9, 100e9)
# By what JAX calls the kind of device; `L40S` is not an `L4`, and cards by another link have other rates.
KINDS = {
    **{r'\bH200$': H200, 'H100 80GB HBM3': H100, 'A100-SXM4-80GB': A100},
    **{r'\bL4\b': L4, r'v5 ?(lite|e)': V5E},
}
# Of the peak rate of products in a step, an assumption; the CPU reaches .5 to .9 of its own (performance.md).
EFFICIENCY = 0.4
# Seconds between two steps of a compiled loop, an assumption.
OVERHEAD = 50e-6
# Seconds from one kernel of a GPU to the next, an assumption.
LAUNCH = 2e-6


@dataclasses.dataclass(frozen=True)
class Step:
    """What one step of one run costs on a device.

    Attributes:
        flops: of the whole batch.
        bytes: to and from memory.
        reduced: bytes that are added up over the devices which share a batch.
    """

    flops: float
    bytes: float
    reduced: float


def published(kind: str) -> Device | None:
    """What the maker says of a device, by JAX's `device_kind`; None of those that are not in `KINDS`."""
    return next((device for name, device in KINDS.items() if re.search(name, kind)), None)


def seconds(
    step: Step, device: Device, shards: int = 1, efficiency: float = EFFICIENCY, overhead: float = OVERHEAD
) -> float:
    """Time of one step of one run.

    A ring moves `2 (d - 1) / d` of what is reduced over every link. The bytes to memory are not divided by
    `shards`, an upper bound: parameters and moments are every device's own, activations are not.

    Args:
        step: its cost.
        device: where.
        shards: d, devices that share the batch.
        efficiency: share of the peak that products reach.
        overhead: seconds a step.

    Returns:
        Seconds.
    """
    work = max(step.flops / shards / (device.flops * efficiency), step.bytes / device.bandwidth)
    return work + step.reduced * 2 * (shards - 1) / shards / device.link + overhead


def bound(step: Step, device: Device, shards: int = 1, efficiency: float = EFFICIENCY) -> str:
    """Which term is the greater: `arithmetic` or `memory`."""
    arithmetic = step.flops / shards / (device.flops * efficiency)
    return 'arithmetic' if arithmetic > step.bytes / device.bandwidth else 'memory'


def in_turn(n_runs: int, devices: int) -> int:
    """Runs that a device trains, one after another, where `devices` share them."""
    return math.ceil(n_runs / devices)


def fitting(memory: float, one: float, each: float) -> int:
    """Runs that a device holds at once.

    Args:
        memory: its bytes.
        one: bytes with one run.
        each: bytes that another run adds.

    Returns:
        Their number; 0 where not even one fits.
    """
    return 0 if one > memory else 1 + int((memory - one) // each)
