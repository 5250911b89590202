"""A PyTorch rank in a group with effnet ranks, for tests/tests/distributed/python.rs."""

import datetime

import torch
import torch.distributed as dist

dist.init_process_group("gloo", timeout=datetime.timedelta(seconds=60))
rank, world_size = dist.get_rank(), dist.get_world_size()
assert world_size == 3

tensor = torch.tensor([rank, 10 * rank, 0.25])
dist.all_reduce(tensor)
assert tensor.tolist() == [3, 30, 0.75], tensor

for root in range(world_size):
    tensor = torch.full((4,), rank + 5)
    dist.broadcast(tensor, root)
    assert tensor.tolist() == [root + 5] * 4, tensor

gathered = [torch.empty(2, dtype=torch.double) for _ in range(world_size)]
dist.all_gather(gathered, torch.full((2,), rank, dtype=torch.double))
assert [own.tolist() for own in gathered] == [[0, 0], [1, 1], [2, 2]], gathered
dist.barrier()
# Gloo's threads abort the process if the interpreter exits while they still hold a tensor.
dist.destroy_process_group()
