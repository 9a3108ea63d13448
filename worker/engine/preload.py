"""What every training process needs, imported once in the forkserver: a child then starts in milliseconds."""

import numpy.ma  # np.unique imports it when it is first called
import safetensors.torch
import torch
import torch._dynamo

import worker.engine.kinds.batch_size
import worker.engine.kinds.lr_find
import worker.engine.kinds.sanity
import worker.engine.kinds.train
import worker.engine.kinds.tune
import worker.engine.models.transfer

__all__ = ["numpy", "safetensors", "torch", "worker"]
